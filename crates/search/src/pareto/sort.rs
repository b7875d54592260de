//! Non-dominated sorting, with and without constraints.

use super::dominates;

/// Fronts of `points` by index: the first is dominated by nobody, the next by the first alone, and
/// so on; ascending indices in each.
///
/// Efficient non-dominated sort with binary search (Zhang et al. 2015): in lexicographic order nobody
/// is dominated by a later point, so each point goes to the first front in which nobody dominates it.
pub fn non_dominated_sort<P: AsRef<[f64]>>(points: &[P]) -> Vec<Vec<usize>> {
    let point = |i: usize| points[i].as_ref();
    let mut order: Vec<usize> = (0..points.len()).collect();
    order.sort_by(|&a, &b| lexicographic(point(a), point(b)).then(a.cmp(&b)));
    let mut fronts: Vec<Vec<usize>> = vec![];
    for index in order {
        // Whoever is dominated by one of a front is dominated by one of each front before it.
        let rank = fronts.partition_point(|front| {
            front.iter().rev().any(|&other| dominates(point(other), point(index)))
        });
        match fronts.get_mut(rank) {
            Some(front) => front.push(index),
            None => fronts.push(vec![index]),
        }
    }
    fronts.iter_mut().for_each(|front| front.sort_unstable());
    fronts
}

/// Indices of those of `points` that nobody dominates, ascending.
pub fn front<P: AsRef<[f64]>>(points: &[P]) -> Vec<usize> {
    let beaten = |p: &P| points.iter().any(|other| dominates(other.as_ref(), p.as_ref()));
    (0..points.len()).filter(|&i| !beaten(&points[i])).collect()
}

/// What a net is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// By how much it breaks limits; 0 is feasible, infinite is worse than everything.
    pub violation: f64,
    /// Its costs; ignored where limits are broken by different amounts.
    pub costs: Vec<f64>,
}

/// Fronts by index under constraint domination (Deb et al. 2002): whoever breaks limits by less
/// dominates; Pareto dominance decides among equals.
pub fn constrained_sort(standings: &[Standing]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..standings.len()).collect();
    let violation = |i: &usize| standings[*i].violation;
    order.sort_by(|a, b| violation(a).total_cmp(&violation(b)).then(a.cmp(b)));
    let mut fronts = vec![];
    for equals in order.chunk_by(|a, b| violation(a) == violation(b)) {
        let costs: Vec<&[f64]> = equals.iter().map(|&i| standings[i].costs.as_slice()).collect();
        let sorted = non_dominated_sort(&costs);
        fronts.extend(sorted.into_iter().map(|f| f.into_iter().map(|k| equals[k]).collect()));
    }
    fronts
}

fn lexicographic(a: &[f64], b: &[f64]) -> std::cmp::Ordering {
    // Adding 0 makes -0 and 0 equal, as they are for dominance.
    let unequal =
        a.iter().zip(b).map(|(x, y)| (x + 0.0).total_cmp(&(y + 0.0))).find(|order| order.is_ne());
    unequal.unwrap_or(std::cmp::Ordering::Equal)
}
