//! What subnets are worth with shared weights.

use edgecut_graph::Graph;
use edgecut_kernels::Isa;
use edgecut_train::metrics::Counts;

use super::{Network, Pictures, SharedWeights, Subnet};
use crate::error::Result;

/// Judges subnets: each collects BatchNorm's statistics on some pictures and answers others.
pub struct Judge<'a> {
    /// The trained weights.
    pub weights: &'a SharedWeights,
    /// Training pictures without variations, whose statistics it takes.
    pub calibration: &'a Pictures,
    /// Pictures that it is judged by: not those of the final test.
    pub pictures: &'a Pictures,
    /// Threads, and what they compute with; neither changes a bit.
    pub machine: (usize, Isa),
}

impl Judge<'_> {
    /// Hits and confusions of `network` with its part of the weights, as many bits as they will have.
    ///
    /// # Errors
    /// A graph that is no part of the weights or takes other pictures.
    pub fn judge(&self, network: Network) -> Result<Counts> {
        self.judge_by(network, usize::MAX)
    }

    /// The same on the first `batches` batches of the pictures alone.
    ///
    /// # Errors
    /// As [`Judge::judge`].
    pub fn judge_by(&self, network: Network, batches: usize) -> Result<Counts> {
        let mut subnet = self.subnet(network)?;
        subnet.score(self.pictures, batches)
    }

    /// `graph` with its part of the weights and its own statistics: where its training begins.
    ///
    /// # Errors
    /// As [`Judge::judge`].
    pub fn inherit(&self, graph: Graph) -> Result<Graph> {
        self.subnet(graph.into())?.graph()
    }

    fn subnet(&self, network: Network) -> Result<Subnet> {
        let sets = [self.calibration, self.pictures];
        let most = sets.iter().flat_map(|set| set.batches()).map(|batch| batch.n).max();
        let mut subnet = Subnet::new(network.graph, self.weights, most.unwrap_or(1), self.machine)?;
        subnet.narrow(&network.four_bit);
        subnet.calibrate(self.calibration)?;
        Ok(subnet)
    }
}
