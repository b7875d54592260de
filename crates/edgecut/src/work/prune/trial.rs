//! What a pruned network is worth before it is trained: what it answers once BatchNorm has statistics of its
//! own (adaptive BatchNorm, EagleEye, Li et al. 2020, arXiv:2007.02491). The old ones are of sums that have
//! lost terms, and hide what the weights can still do.

use std::sync::Arc;

use edgecut_graph::Graph;
use edgecut_kernels::Isa;
use edgecut_search::supernet::{Judge, Pictures, SharedWeights};
use edgecut_train::data::open::SPLIT_SEED;
use edgecut_train::data::{Dataset, Part, Preprocess, Subset, split};

use crate::errors::Result;

/// Training pictures for the statistics, and as many others to answer.
const PICTURES: usize = 1024;
const BATCH: usize = 64;

/// Pictures to try networks on.
pub struct Trial {
    calibration: Pictures,
    judged: Pictures,
    threads: usize,
}

impl Trial {
    /// Some of `set`, which are training pictures.
    ///
    /// # Errors
    /// A picture that cannot be read.
    pub fn new(set: &Arc<dyn Dataset>, preprocess: &Preprocess, threads: usize) -> Result<Trial> {
        let count = PICTURES.min(set.len() / 2);
        let (others, judged) = split(set.clone(), SPLIT_SEED, Part::Count(count))?;
        let calibration = Subset::sample(Arc::new(others), SPLIT_SEED, count);
        let prepare = |set: Subset| {
            let set: Arc<dyn Dataset> = Arc::new(set);
            Pictures::prepare(&set, preprocess, BATCH, count)
        };
        Ok(Trial { calibration: prepare(calibration)?, judged: prepare(judged)?, threads })
    }

    /// Right answers of `graph`, percent.
    ///
    /// # Errors
    /// A network that cannot be trained, such as one of integers.
    pub fn accuracy(&self, graph: &Graph) -> Result<f64> {
        let weights = SharedWeights::new(std::slice::from_ref(graph))?;
        let Trial { calibration, judged, threads } = self;
        let machine = (*threads, Isa::detect());
        let judge = Judge { weights: &weights, calibration, pictures: judged, machine };
        Ok(100.0 * judge.judge(graph.clone().into())?.accuracy())
    }
}
