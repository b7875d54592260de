//! One choice for each layer under a budget, with the least loss.

/// What a choice for a layer costs and loses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Choice {
    pub cost: u64,
    pub loss: f64,
}

/// Budgets are counted in this many units at most; costs are rounded up to whole ones.
const UNITS: u64 = 1 << 16;

/// A sum of choices that no other beats in both cost and loss.
#[derive(Clone, Copy)]
struct State {
    cost: u64,
    loss: f64,
    /// Position in the states of the layers before, and the choice made here.
    before: usize,
    choice: usize,
}

/// The position of the choice for each layer, such that costs sum to at most `budget` and the sum
/// of losses is the least possible; `None` where even the cheapest do not fit. Exact for costs that
/// are multiples of `budget / 65536`, and never over budget.
///
/// The multiple-choice knapsack by dynamic programming: layer by layer, over the sums of cost and
/// loss that are not dominated, of which there is at most one for each cost.
pub(super) fn choose(layers: &[Vec<Choice>], budget: u64) -> Option<Vec<usize>> {
    let unit = budget.div_ceil(UNITS).max(1);
    let most = budget / unit;
    let mut levels = vec![vec![State { cost: 0, loss: 0.0, before: 0, choice: 0 }]];
    for choices in layers {
        let last = levels.last().expect("begins with one");
        let mut next = vec![];
        for (before, state) in last.iter().enumerate() {
            for (choice, &Choice { cost, loss }) in choices.iter().enumerate() {
                let cost = state.cost + cost.div_ceil(unit);
                if cost <= most {
                    next.push(State { cost, loss: state.loss + loss, before, choice });
                }
            }
        }
        next.sort_by(|a, b| a.cost.cmp(&b.cost).then(a.loss.total_cmp(&b.loss)));
        let mut least = f64::INFINITY;
        next.retain(|state| {
            let better = state.loss < least;
            least = least.min(state.loss);
            better
        });
        levels.push(next);
    }
    // Losses fall with cost: the last state loses least.
    let mut at = levels.last()?.len().checked_sub(1)?;
    let mut chosen = vec![];
    for level in levels.iter().skip(1).rev() {
        chosen.push(level[at].choice);
        at = level[at].before;
    }
    chosen.reverse();
    Some(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::rng::Rng;

    fn naive(layers: &[Vec<Choice>], budget: u64) -> Option<f64> {
        let Some((first, rest)) = layers.split_first() else { return Some(0.0) };
        let with = |c: &Choice| Some(c.loss + naive(rest, budget.checked_sub(c.cost)?)?);
        first.iter().filter_map(with).min_by(f64::total_cmp)
    }

    #[test]
    fn equals_trying_everything() {
        for seed in 0..40 {
            let mut rng = Rng::new(seed);
            let mut below = |n: u64| rng.below(n as usize) as u64;
            let layers: Vec<Vec<Choice>> = (0..6)
                .map(|_| {
                    let choice = |_| Choice { cost: below(50), loss: below(1000) as f64 };
                    (0..3).map(choice).collect()
                })
                .collect();
            for budget in [0, 40, 90, 150, 400] {
                let found = choose(&layers, budget);
                let total = found.as_ref().map(|found| {
                    let picked = || layers.iter().zip(found).map(|(layer, &i)| layer[i]);
                    assert!(picked().map(|c| c.cost).sum::<u64>() <= budget);
                    picked().map(|c| c.loss).sum::<f64>()
                });
                assert_eq!(total, naive(&layers, budget), "seed {seed}, budget {budget}");
            }
        }
    }

    #[test]
    fn large_budgets_are_not_exceeded() {
        let layer =
            vec![Choice { cost: 1_000_003, loss: 0.0 }, Choice { cost: 250_001, loss: 1.0 }];
        let layers = vec![layer; 9];
        let found = choose(&layers, 5_000_000).unwrap();
        let cost: u64 = found.iter().map(|&i| layers[0][i].cost).sum();
        assert!(cost <= 5_000_000 && found.iter().filter(|&&i| i == 0).count() == 3, "{found:?}");
    }
}
