//! A network with its part of the shared weights.

use edgecut_graph::{Graph, Op};
use edgecut_kernels::softmax::softmax;
use edgecut_kernels::{Ctx, Isa, Pool};
use edgecut_train::data::{Batch, rescaled};
use edgecut_train::engine::Engine;
use edgecut_train::metrics::Counts;
use edgecut_train::plan::{Extent, TrainPlan};

use super::SharedWeights;
use super::narrow::narrow;
use super::pictures::{Pictures, from_data};
use crate::error::Result;

/// A network compiled for training, and where its weights are among the shared ones.
pub struct Subnet {
    graph: Graph,
    engine: Engine,
    positions: Vec<u32>,
    isa: Isa,
}

impl Subnet {
    /// `graph` for up to `batch` pictures at a time, on `threads` threads, 0 being one per processor.
    ///
    /// # Errors
    /// A graph that cannot be trained, or is no part of `weights`.
    pub fn new(
        graph: Graph,
        weights: &SharedWeights,
        batch: usize,
        (threads, isa): (usize, Isa),
    ) -> Result<Subnet> {
        let plan = TrainPlan::new(&graph, batch)?;
        let positions = weights.positions(&graph, plan.params())?;
        let pool = if threads == 0 { Pool::for_this_machine() } else { Pool::new(threads) };
        let engine = Engine::new(plan, pool, isa);
        let mut subnet = Subnet { graph, engine, positions, isa };
        subnet.load(weights);
        Ok(subnet)
    }

    /// Takes its weights as they are now.
    pub fn load(&mut self, weights: &SharedWeights) {
        let own = &mut self.engine.params_mut().values;
        own.iter_mut().zip(&self.positions).for_each(|(w, &at)| *w = weights.values[at as usize]);
    }

    /// Rounds the weights of the nodes named `four_bit` to 4 bits, until they are loaded again.
    pub fn narrow(&mut self, four_bit: &[String]) {
        if !four_bit.is_empty() {
            narrow(&self.graph, self.engine.params_mut(), four_bit);
        }
    }

    /// Pictures at a time.
    pub fn batch(&self) -> usize {
        self.engine.plan().batch()
    }

    /// The threads that it computes on.
    pub(super) fn pool(&self) -> &Pool {
        self.engine.pool()
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.engine.plan().classes()
    }

    /// Forward and backward pass of a training step on `n` pictures `x` of the extent `from` against
    /// `targets`, `[n, classes]`; its gradients times `share` are added to `sum`, which lies like the
    /// shared weights. Returns the loss.
    pub(super) fn learn(
        &mut self,
        (x, from, n): (&[f32], Extent, usize),
        targets: &[f32],
        share: f32,
        sum: &mut [f32],
    ) -> Result<f64> {
        let x = rescaled(x, from, self.engine.plan().input()).map_err(from_data)?;
        self.engine.forward(&x, n, true);
        let loss = self.engine.loss_against(targets);
        self.engine.backward();
        let gradients = self.engine.gradients().iter().zip(&self.positions);
        gradients.for_each(|(g, &at)| sum[at as usize] += share * g);
        Ok(loss)
    }

    /// Probabilities of the last forward pass, `[n, classes]`.
    pub(super) fn answers(&self) -> Vec<f32> {
        let logits = self.engine.logits();
        let mut rows = vec![0.0; logits.len()];
        let ctx = Ctx { isa: self.isa, pool: self.engine.pool() };
        softmax(ctx, self.classes(), logits, &mut rows);
        rows
    }

    /// Gives BatchNorm the mean of its statistics over the batches of `pictures`.
    ///
    /// # Errors
    /// Pictures with other channels.
    pub fn calibrate(&mut self, pictures: &Pictures) -> Result<()> {
        // From 0, a batch moves a running statistic to its own times a share, which the graph states.
        let shares = self.statistic_shares();
        let mut mean = vec![0.0f64; shares.len()];
        for batch in pictures.batches() {
            self.engine.params_mut().stats.fill(0.0);
            let x = rescaled(&batch.x, pictures.extent(), self.engine.plan().input())
                .map_err(from_data)?;
            self.engine.forward(&x, batch.n, true);
            let part = batch.n as f64 / pictures.len() as f64;
            let moved = self.engine.params().stats.iter().zip(&shares);
            let own = moved.map(|(&s, share)| part * f64::from(s) / share);
            mean.iter_mut().zip(own).for_each(|(mean, own)| *mean += own);
        }
        let stats = &mut self.engine.params_mut().stats;
        stats.iter_mut().zip(mean).for_each(|(stat, mean)| *stat = mean as f32);
        Ok(())
    }

    /// For each running statistic, the share of a batch's own in its update.
    fn statistic_shares(&self) -> Vec<f64> {
        let params = self.engine.params();
        let mut shares = vec![1.0; params.stats.len()];
        for node in &self.graph.nodes {
            let Op::BatchNorm { momentum, .. } = node.op else { continue };
            for id in node.inputs.iter().skip(3).flatten() {
                let name = &self.graph.value(*id).name;
                for (_, _, range) in params.names().filter(|(own, ..)| own == name) {
                    shares[range].fill(1.0 - f64::from(momentum));
                }
            }
        }
        shares
    }

    /// Hits and confusions on the first `batches` batches of `pictures`, by the statistics that it has.
    ///
    /// # Errors
    /// Pictures with other channels.
    pub fn score(&mut self, pictures: &Pictures, batches: usize) -> Result<Counts> {
        let mut counts = Counts::new(self.classes());
        for Batch { x, labels, n, .. } in pictures.batches().iter().take(batches) {
            let x =
                rescaled(x, pictures.extent(), self.engine.plan().input()).map_err(from_data)?;
            self.engine.forward(&x, *n, false);
            counts.add_rows(self.engine.logits(), labels);
        }
        Ok(counts)
    }

    /// The graph with the weights and statistics that it has now.
    ///
    /// # Errors
    /// None that is known; the graph is the one that was compiled.
    pub fn graph(&self) -> Result<Graph> {
        Ok(self.engine.write_back(&self.graph)?)
    }
}
