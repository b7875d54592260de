//! Plans to choose from where costs do not simply add up.

use super::Problem;
use super::flow::{Prices, least};

/// Most closed sets that are looked at one by one.
const MAX_PLANS: usize = 1 << 13;

/// Closed sets of a problem: all of them where they are few enough, as in networks that are nearly
/// chains; else those that cross at a single tensor, and those that are fastest for some bandwidth.
#[derive(Clone, Debug)]
pub struct Family {
    /// For each plan and vertex, whether the device computes it. The first is the empty set
    /// (cloud-only), the last the set of all (local-only).
    pub plans: Vec<Vec<bool>>,
    /// Whether these are all closed sets.
    pub exhaustive: bool,
}

impl Family {
    /// The family of `problem`.
    pub fn of(problem: &Problem) -> Family {
        match closed_sets(problem, MAX_PLANS) {
            Some(plans) => Family { plans, exhaustive: true },
            None => Family { plans: some_plans(problem), exhaustive: false },
        }
    }
}

/// Every closed set, by ascending size and then by vertices; `None` where there are more than
/// `most`.
fn closed_sets(problem: &Problem, most: usize) -> Option<Vec<Vec<bool>>> {
    let count = problem.vertices().len();
    let needs = needs(problem);
    let mut plans = vec![];
    // A state is the fate of the first vertices; it can always be completed, by leaving the rest out.
    let mut open: Vec<Vec<bool>> = vec![vec![]];
    while let Some(state) = open.pop() {
        if state.len() == count {
            plans.push(state);
            if plans.len() > most {
                return None;
            }
            continue;
        }
        if needs[state.len()].iter().all(|&v| state[v]) {
            open.push([&state[..], &[true]].concat());
        }
        open.push([&state[..], &[false]].concat());
    }
    plans.sort_by_key(|plan| (size(plan), plan.iter().map(|&here| !here).collect::<Vec<bool>>()));
    Some(plans)
}

fn size(plan: &[bool]) -> usize {
    plan.iter().filter(|&&here| here).count()
}

/// The vertices that each vertex reads from.
fn needs(problem: &Problem) -> Vec<Vec<usize>> {
    let mut needs = vec![vec![]; problem.vertices().len()];
    for tensor in problem.tensors() {
        if let Some(producer) = tensor.producer {
            tensor.readers.iter().for_each(|&reader| needs[reader].push(producer));
        }
    }
    needs
}

fn some_plans(problem: &Problem) -> Vec<Vec<bool>> {
    let count = problem.vertices().len();
    let mut plans = single_tensor_cuts(problem);
    plans.extend(fastest_somewhere(problem));
    plans.extend([vec![false; count], vec![true; count]]);
    plans.sort_by_key(|plan| (size(plan), plan.iter().map(|&here| !here).collect::<Vec<bool>>()));
    plans.dedup();
    plans
}

/// Closed sets that one tensor leaves: for each tensor the smallest set that makes it, and the
/// largest that does not read it.
fn single_tensor_cuts(problem: &Problem) -> Vec<Vec<bool>> {
    let needs = needs(problem);
    let mut plans = vec![];
    for tensor in problem.tensors() {
        let mut before = vec![false; needs.len()];
        if let Some(producer) = tensor.producer {
            before[producer] = true;
            for vertex in (0..=producer).rev().filter(|&v| v < needs.len()) {
                if before[vertex] {
                    needs[vertex].iter().for_each(|&v| before[v] = true);
                }
            }
        }
        let mut aside = vec![true; needs.len()];
        tensor.readers.iter().for_each(|&reader| aside[reader] = false);
        for vertex in 0..needs.len() {
            aside[vertex] &= needs[vertex].iter().all(|&v| aside[v]);
        }
        let single = |plan: &Vec<bool>| problem.crossing(plan).count() == 1;
        plans.extend([before, aside].into_iter().filter(single));
    }
    plans
}

/// The plans that are fastest for some bandwidth: the lower envelope of the lines compute time +
/// bytes x (time of a byte), found by cutting at crossing points of neighbours (Eisner and Severance
/// 1976). Each cut adds a plan or ends a branch.
fn fastest_somewhere(problem: &Problem) -> Vec<Vec<bool>> {
    let line = |plan: &[bool]| {
        let side = |(vertex, here): (&super::Vertex, &bool)| {
            u128::from(if *here { vertex.device_ns } else { vertex.server_ns })
        };
        let time: u128 = problem.vertices().iter().zip(plan).map(side).sum();
        let bytes: u128 =
            problem.crossing(plan).map(|t| u128::from(problem.tensors()[t].transfer.bytes)).sum();
        [time, bytes]
    };
    let solve = |time: u128, bytes: u128| least(problem, &Weighted { problem, time, bytes });
    let (fast, frugal) = (solve(1, 0), vec![true; problem.vertices().len()]);
    let mut open = vec![(fast.clone(), frugal.clone())];
    let mut plans = vec![fast, frugal];
    while let Some((left, right)) = open.pop().filter(|_| plans.len() < MAX_PLANS) {
        let ([time, bytes], [more_time, fewer]) = (line(&left), line(&right));
        if more_time <= time || fewer >= bytes {
            continue;
        }
        // Where both lines meet, a byte costs (more_time - time) / (bytes - fewer).
        let [per_time, per_byte] = [bytes - fewer, more_time - time];
        let middle = solve(per_time, per_byte);
        let [t, b] = line(&middle);
        if t * per_time + b * per_byte < time * per_time + bytes * per_byte {
            open.extend([(left, middle.clone()), (middle.clone(), right)]);
            plans.push(middle);
        }
    }
    plans
}

/// Prices that weigh time against bytes.
struct Weighted<'a> {
    problem: &'a Problem,
    time: u128,
    bytes: u128,
}

impl Prices for Weighted<'_> {
    fn vertex(&self, index: usize) -> [u128; 2] {
        let vertex = &self.problem.vertices()[index];
        [vertex.device_ns, vertex.server_ns].map(|ns| u128::from(ns) * self.time)
    }

    fn tensor(&self, index: usize) -> u128 {
        u128::from(self.problem.tensors()[index].transfer.bytes) * self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Crossing, Transfer, Vertex};
    use super::*;

    /// `width` chains of `length` vertices side by side between one vertex and another.
    fn ladder(width: usize, length: usize) -> Problem {
        let count = width * length + 2;
        let vertex = Vertex { device_ns: 10, server_ns: 1, ..Vertex::default() };
        let tensor = |producer, readers: Vec<usize>, bytes| Crossing {
            transfer: Transfer { bytes, ..Transfer::default() },
            bytes,
            producer,
            readers,
        };
        let mut tensors = vec![tensor(None, vec![0], 100)];
        tensors.push(tensor(Some(0), (0..width).map(|w| 1 + w * length).collect(), 50));
        for w in 0..width {
            for i in 0..length {
                let at = 1 + w * length + i;
                let next = if i + 1 < length { at + 1 } else { count - 1 };
                tensors.push(tensor(Some(at), vec![next], 5));
            }
        }
        Problem::new(vec![vertex; count], tensors).unwrap()
    }

    #[test]
    fn closed_sets_of_parallel_chains_multiply() {
        // Nothing, the first vertex alone, 4 x 4 states of the chains less the empty one, all.
        let family = Family::of(&ladder(2, 3));
        assert!(family.exhaustive);
        assert_eq!(family.plans.len(), 1 + 16 + 1);
        assert_eq!(family.plans.first(), Some(&vec![false; 8]));
        assert_eq!(family.plans.last(), Some(&vec![true; 8]));
        assert!(family.plans.iter().all(|plan| ladder(2, 3).is_closed(plan)));
    }

    #[test]
    fn wide_graphs_keep_single_cuts_and_those_that_win_somewhere() {
        let problem = ladder(6, 5);
        let family = Family::of(&problem);
        assert!(!family.exhaustive && family.plans.iter().all(|plan| problem.is_closed(plan)));
        let crossings = |plan: &Vec<bool>| problem.crossing(plan).count();
        assert!(family.plans.iter().any(|plan| crossings(plan) == 6), "all chains on the device");
        assert!(
            family.plans.iter().any(|plan| crossings(plan) == 1 && plan[0]),
            "behind the first"
        );
    }
}
