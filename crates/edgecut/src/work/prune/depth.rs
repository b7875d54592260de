//! Blocks that a network does without.

use std::sync::Arc;

use edgecut_compress::prune::depth::{branches, without};
use edgecut_graph::Graph;
use edgecut_kernels::Pool;

use super::sensitivity::Judge;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::Counter;
use crate::work::calibrate::Sample;

/// Removes up to `count` residual branches of `graph`, one after the other: each time the one without
/// which the loss on the pictures is least. The graph, and how many went.
pub fn shorten(
    global: &Global,
    graph: &Graph,
    count: usize,
    sample: &Sample,
    pool: &Arc<Pool>,
) -> Result<(Graph, usize)> {
    interrupt::listen();
    let judge = Judge::of(sample)?;
    let mut shorter = graph.clone();
    for number in 0..count {
        let found = branches(&shorter)?;
        let mut bar = Counter::new(global, "blocks", found.len() as u64);
        let mut best: Option<(f64, Graph)> = None;
        for (at, branch) in found.iter().enumerate() {
            if interrupt::asked() {
                return Err(Failure::not_met("interrupted"));
            }
            let candidate = without(&shorter, &branch.sum)?;
            let loss = judge.judge(&candidate, pool)?.loss;
            bar.set(at as u64 + 1, || format!("without '{}': loss {loss:.3}", branch.sum));
            if best.as_ref().is_none_or(|(least, _)| loss < *least) {
                best = Some((loss, candidate));
            }
        }
        match best {
            Some((_, candidate)) => shorter = candidate,
            None => return Ok((shorter, number)),
        }
    }
    Ok((shorter, count))
}
