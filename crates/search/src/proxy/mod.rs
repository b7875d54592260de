//! Zero-cost proxies: scores of a network that nobody has trained, from one batch and fresh weights.
//!
//! They rank a whole space well and its best tenth hardly at all, so they choose where a search
//! begins ([`WARM_START`], combined by [`mean_ranks`](crate::rank::mean_ranks)) and never what wins.
//!
//! | proxy | is | source |
//! | --- | --- | --- |
//! | [`Parameters`](Proxy::Parameters), [`Macs`](Proxy::Macs) | counts | [`edgecut_graph::cost`] |
//! | [`SynFlow`](Proxy::SynFlow) | products of weights along all paths | Tanaka et al. 2020, arXiv:2006.05467; as a score, Abdelfattah et al. 2021, arXiv:2101.08134 |
//! | [`NasWot`](Proxy::NasWot) | how differently images switch activations | Mellor et al. 2021, arXiv:2006.04647v3 |
//! | [`JacobCov`](Proxy::JacobCov) | how little the gradients of images are alike | Mellor et al. 2020, arXiv:2006.04647v1 |
//! | [`Zico`](Proxy::Zico) | how steady gradients are from batch to batch | Li et al. 2023, arXiv:2301.11300 |
//!
//! A score is a function of graph, batch and seed: weights are drawn anew ([`fresh_weights`]), so that
//! it says something of the architecture, and neither threads nor instruction set change a bit.
//! Gradients are the trainer's, so what it trains can be scored. Larger is better; minus infinity is the
//! score of a network that cannot tell two images apart, or lets nothing through.

mod fresh_weights;
mod jacob_cov;
mod linear_algebra;
mod linearise;
mod naswot;
mod synflow;
mod zico;

use edgecut_graph::Graph;
use edgecut_graph::cost::cost;
use edgecut_kernels::{Isa, Pool};
use edgecut_train::data::Batch;
use edgecut_train::engine::Engine;
use edgecut_train::plan::{PlanOptions, TrainPlan};

use crate::{Result, SearchError};
pub use fresh_weights::fresh_weights;

/// A score of an untrained network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proxy {
    /// Parameters, as papers count them.
    Parameters,
    /// Multiply-adds of one image.
    Macs,
    /// Logarithm of the synaptic flow.
    SynFlow,
    /// Logarithm of the determinant of the kernel of activation codes.
    NasWot,
    /// Covariance of the gradients of the outputs by single images.
    JacobCov,
    /// Inverse coefficient of variation of the gradients of weights.
    Zico,
}

/// What a search begins with: the mean rank over these is a better guide than each of them.
pub const WARM_START: [Proxy; 4] =
    [Proxy::Parameters, Proxy::NasWot, Proxy::SynFlow, Proxy::JacobCov];

impl Proxy {
    /// All of them.
    pub const ALL: [Proxy; 6] = [
        Proxy::Parameters,
        Proxy::Macs,
        Proxy::SynFlow,
        Proxy::NasWot,
        Proxy::JacobCov,
        Proxy::Zico,
    ];

    /// Its short name.
    pub fn name(self) -> &'static str {
        match self {
            Proxy::Parameters => "params",
            Proxy::Macs => "macs",
            Proxy::SynFlow => "synflow",
            Proxy::NasWot => "naswot",
            Proxy::JacobCov => "jacob_cov",
            Proxy::Zico => "zico",
        }
    }

    /// The score of `graph` on `batch` with weights drawn from `seed`.
    ///
    /// # Errors
    /// A graph that the trainer cannot train or this proxy cannot judge, by the node that is in the
    /// way; pictures of another size than the graph's; a batch that is too small, or whose labels are
    /// no classes of the graph.
    pub fn score(self, graph: &Graph, batch: &Batch, options: &ProxyOptions) -> Result<f64> {
        let job = Job { proxy: self, graph, batch, options };
        match self {
            Proxy::Parameters => Ok(cost(graph, 1)?.parameters as f64),
            Proxy::Macs => Ok(cost(graph, 1)?.macs as f64),
            Proxy::SynFlow => synflow::score(&job),
            Proxy::NasWot => naswot::score(&job),
            Proxy::JacobCov => jacob_cov::score(&job),
            Proxy::Zico => zico::score(&job),
        }
    }
}

/// How proxies are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProxyOptions {
    /// Of the fresh weights.
    pub seed: u64,
    /// Threads, at least 1.
    pub threads: usize,
}

/// One score to be computed.
struct Job<'a> {
    proxy: Proxy,
    graph: &'a Graph,
    batch: &'a Batch,
    options: &'a ProxyOptions,
}

impl Job<'_> {
    /// The graph with the weights that are scored.
    fn fresh(&self) -> Result<Graph> {
        let (graph, drawn) = fresh_weights(self.graph, self.options.seed)?;
        match drawn {
            0 => Err(self.refuse("it has no float weights to be drawn".into())),
            _ => Ok(graph),
        }
    }

    /// `graph`, to be run on up to `images` at once.
    fn engine(&self, graph: &Graph, images: usize, options: &PlanOptions) -> Result<Engine> {
        let plan = TrainPlan::with(graph, images, options)?;
        Ok(Engine::new(plan, Pool::new(self.options.threads.max(1)), Isa::detect()))
    }

    /// The numbers of the first `images` pictures, `[images, h, w, c]`.
    fn pictures(&self, engine: &Engine, images: usize) -> Result<&[f32]> {
        let (input, numbers) = (engine.plan().input(), self.batch.x.len());
        if numbers != self.batch.n * input.len() {
            let [h, w, c] = [input.h, input.w, input.c];
            let each = numbers / self.batch.n.max(1);
            return Err(self.refuse(format!(
                "it takes pictures of {h} x {w} pixels with {c} channels, {} numbers, and those of \
                 the batch have {each}",
                input.len()
            )));
        }
        Ok(&self.batch.x[..images * input.len()])
    }

    /// The images of the batch, of which there must be `least`.
    fn images(&self, least: usize) -> Result<usize> {
        match self.batch.n {
            n if n >= least => Ok(n),
            n => Err(self.refuse(format!("it needs a batch of at least {least} images, not {n}"))),
        }
    }

    fn refuse(&self, problem: String) -> SearchError {
        let (proxy, model) = (self.proxy.name(), self.graph.name.clone());
        SearchError::Proxy { proxy, model, problem }
    }
}
