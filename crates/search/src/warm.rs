//! Where a search begins: random networks, ranked by scores that cost no training.

use std::collections::HashSet;

use edgecut_graph::rng::Rng;
use edgecut_train::data::{Batch, rescaled};
use edgecut_train::plan::Extent;

use crate::arch::ArchSpace;
use crate::error::{Result, SearchError};
use crate::problem::Problem;
use crate::proxy::{ProxyOptions, WARM_START};
use crate::rank::mean_ranks;
use crate::space::Genome;
use crate::supernet::{Pictures, from_data};

/// One of so many networks that were scored begins the search: scores tell a good part of a space from a
/// bad one, and little more.
const PART: usize = 4;

/// Most pictures that a network is scored on.
const PICTURES: usize = 32;

/// Random networks that are looked at for each that is within the limits.
const TRIES: usize = 20;

/// A key that no trial's generator has.
const KEY: u64 = u64::MAX - 1;

/// The best quarter of up to `count` random networks of `space` within the limits of `problem`, the best
/// first, by their mean rank over [`WARM_START`] on the first of `pictures`. `told` hears how many were
/// scored and says whether to go on; where it does not, there are none.
///
/// # Errors
/// A network that cannot be built or scored, with the reason.
pub fn warm_start(
    space: &ArchSpace,
    problem: &dyn Problem,
    pictures: &Pictures,
    count: usize,
    options: &ProxyOptions,
    told: &mut dyn FnMut(usize) -> bool,
) -> Result<Vec<Genome>> {
    let networks = allowed(problem, count, options.seed);
    let mut scores = vec![vec![]; WARM_START.len()];
    for (done, genome) in networks.iter().enumerate() {
        if !told(done) {
            return Ok(vec![]);
        }
        let graph = space.network(genome, 0)?.graph;
        let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
        let &[_, c, h, w] = shape.as_slice() else {
            return Err(SearchError::Input(format!("{}: takes no pictures", graph.name)));
        };
        let batch = first(pictures, Extent { h, w, c })?;
        for (proxy, scores) in WARM_START.iter().zip(&mut scores) {
            scores.push(proxy.score(&graph, &batch, options)?);
        }
    }
    Ok(best_quarter(&scores).into_iter().map(|at| networks[at].clone()).collect())
}

/// Indices of the best quarter of some networks, the best first, by their mean rank over several scores,
/// each with one value per network.
///
/// # Panics
/// If scores differ in length.
pub fn best_quarter(scores: &[Vec<f64>]) -> Vec<usize> {
    let ranks = mean_ranks(scores);
    let mut order: Vec<usize> = (0..ranks.len()).collect();
    order.sort_by(|&a, &b| ranks[b].total_cmp(&ranks[a]).then(a.cmp(&b)));
    order.truncate(ranks.len().div_ceil(PART));
    order
}

/// Different random networks that keep the limits.
fn allowed(problem: &dyn Problem, count: usize, seed: u64) -> Vec<Genome> {
    let mut rng = Rng::keyed(&[seed, KEY]);
    let (mut found, mut seen) = (vec![], HashSet::new());
    for _ in 0..count.saturating_mul(TRIES) {
        if found.len() == count {
            break;
        }
        let genome = problem.space().sample(&mut rng);
        if seen.insert(genome.clone()) && problem.violation(&genome) <= 0.0 {
            found.push(genome);
        }
    }
    found
}

/// Some pictures, as large as a network takes them.
fn first(pictures: &Pictures, extent: Extent) -> Result<Batch> {
    let Some(batch) = pictures.batches().first() else {
        return Err(SearchError::Input("there are no pictures to score networks on".into()));
    };
    let n = batch.n.min(PICTURES);
    let own = &batch.x[..n * pictures.extent().len()];
    let x = rescaled(own, pictures.extent(), extent).map_err(from_data)?.into_owned();
    Ok(Batch { x, labels: batch.labels[..n].to_vec(), n, ..Batch::default() })
}
