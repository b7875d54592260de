//! What to try next: a function of what was tried, so that an interrupted way goes on as if it had
//! not been.
//!
//! From the smallest network that holds the floor, channels go in steps of about three tenths. Where
//! a step loses too much, it learns on, as float or as integers, whichever has lost; where that does
//! not help, the step is taken again from where it began, smaller and with more learning. What holds
//! all bounds learns on, too, while it has lost nearly as much as it may: other pictures than those that
//! decide may lose more.

use super::candidate::{Action, Candidate};
use super::costs::Bounds;

/// What a step leaves of the costs, about.
const STEP: f64 = 0.7;

/// A pruned network should cost this share of its bound: predictions are not exact.
const MARGIN: f64 = 0.97;

/// How often a step is taken from the same network, each time smaller.
const ATTEMPTS: usize = 3;

/// Which part of what may be lost is lost for sure.
const SURE: f64 = 0.5;

/// How often a network learns on.
const POLISHES: usize = 2;

/// Most networks that are tried.
const MOST: usize = 40;

/// What the network must hold.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Points of top-1 that may be lost.
    pub max_drop: f64,
    /// Of learning behind a step.
    pub epochs: usize,
}

/// What to try.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// From which network.
    pub parent: usize,
    /// How.
    pub action: Action,
    /// Why.
    pub why: String,
}

/// The networks so far, under bounds and rules.
pub struct Tried<'a> {
    all: &'a [Candidate],
    bounds: &'a Bounds,
    rules: Rules,
}

impl<'a> Tried<'a> {
    /// `all` in the order they were tried.
    pub fn new(all: &'a [Candidate], bounds: &'a Bounds, rules: Rules) -> Tried<'a> {
        Tried { all, bounds, rules }
    }

    /// What to try next; nothing where the best is reached.
    pub fn next(&self) -> Option<Next> {
        if self.all.len() >= MOST {
            return None;
        }
        let Some(base) = self.base() else { return self.without_base() };
        let excess = self.excess(base);
        if excess <= 1.0 {
            return self.surer();
        }
        if self.is_as_small_as_it_gets(base) {
            return None;
        }
        let steps: Vec<usize> = self.pruned_from(base).collect();
        let Some(&last) = steps.last() else { return Some(self.prune(base, 0)) };
        let line = self.line(last);
        match line.len() <= POLISHES {
            true => Some(self.polish(&line)),
            false if steps.len() < ATTEMPTS => Some(self.prune(base, steps.len())),
            false => None,
        }
    }

    /// The best so far: of those within bounds and floor the most accurate; else the cheapest that
    /// holds the floor; else the most accurate.
    pub fn best(&self) -> Option<usize> {
        let by_accuracy = |a: &usize, b: &usize| {
            self.all[*a].accuracy.total_cmp(&self.all[*b].accuracy).then(b.cmp(a))
        };
        let all = 0..self.all.len();
        let good = |&c: &usize| self.holds(c) && self.excess(c) <= 1.0;
        let good = all.clone().filter(good).max_by(by_accuracy);
        good.or_else(|| self.base()).or_else(|| all.max_by(by_accuracy))
    }

    /// Those that no other one beats in accuracy and in every bounded cost.
    pub fn front(&self) -> Vec<usize> {
        let costs = |c: usize| {
            let costs = &self.all[c].costs;
            self.bounds.at_most.iter().map(|(cost, _)| costs.of(*cost)).collect::<Vec<f64>>()
        };
        let beats = |a: usize, b: usize| {
            let (x, y) = (costs(a), costs(b));
            let (p, q) = (self.all[a].accuracy, self.all[b].accuracy);
            let as_good = p >= q && x.iter().zip(&y).all(|(x, y)| x <= y);
            as_good && (p > q || x.iter().zip(&y).any(|(x, y)| x < y) || a < b)
        };
        let all = 0..self.all.len();
        all.clone().filter(|&c| !all.clone().any(|other| other != c && beats(other, c))).collect()
    }

    /// The cheapest network that holds the floor.
    fn base(&self) -> Option<usize> {
        let holding = (0..self.all.len()).filter(|&c| self.holds(c));
        holding.min_by(|&a, &b| self.excess(a).total_cmp(&self.excess(b)).then(b.cmp(&a)))
    }

    /// More learning for the best of those within bounds and floor, where it has lost much.
    fn surer(&self) -> Option<Next> {
        let mut first = self.best()?;
        let lost = self.lost(self.all[first].accuracy);
        while let (Action::Polish { .. } | Action::Integers { .. }, Some(parent)) =
            (&self.all[first].action, self.all[first].parent)
        {
            first = parent;
        }
        let line = self.line(first);
        let much = lost > self.rules.max_drop * SURE + 1e-9;
        (much && line.len() <= POLISHES).then(|| self.polish(&line))
    }

    /// Whether pruning found nothing that may go.
    fn is_as_small_as_it_gets(&self, c: usize) -> bool {
        let (own, parent) = (&self.all[c], self.all[c].parent.map(|parent| &self.all[parent]));
        let pruned = matches!(own.action, Action::Prune { .. });
        pruned && parent.is_some_and(|parent| own.macs >= parent.macs)
    }

    /// Not even the first network holds the floor as integers: they learn.
    fn without_base(&self) -> Option<Next> {
        let line = match self.all.is_empty() {
            true => return None,
            false => self.line(0),
        };
        (line.len() <= POLISHES).then(|| self.polish(&line))
    }

    fn excess(&self, c: usize) -> f64 {
        self.bounds.excess(&self.all[c].costs)
    }

    fn lost(&self, accuracy: f64) -> f64 {
        self.all[0].float_accuracy - accuracy
    }

    /// Whether the quantised network holds the floor.
    pub fn holds(&self, c: usize) -> bool {
        // Shares of the same pictures differ by rounding in the last bits.
        self.lost(self.all[c].accuracy) <= self.rules.max_drop + 1e-9
    }

    fn pruned_from(&self, base: usize) -> impl Iterator<Item = usize> + '_ {
        let pruned = move |c: &&Candidate| {
            c.parent == Some(base) && matches!(c.action, Action::Prune { .. })
        };
        self.all.iter().filter(pruned).map(|c| c.id)
    }

    /// `first`, and the networks that learned on from it.
    fn line(&self, first: usize) -> Vec<usize> {
        let mut line = vec![first];
        for c in &self.all[first + 1..] {
            let learned = matches!(c.action, Action::Polish { .. } | Action::Integers { .. });
            if learned && c.parent.is_some_and(|parent| line.contains(&parent)) {
                line.push(c.id);
            }
        }
        line
    }

    /// A step from `base`, of which some attempts failed.
    fn prune(&self, base: usize, failed: usize) -> Next {
        let excess = self.excess(base);
        let steps = ((excess / MARGIN).ln() / (1.0 / STEP).ln()).ceil().max(1.0) + failed as f64;
        let aim = excess * (MARGIN / excess).powf(1.0 / steps);
        let why = match failed {
            0 => format!("{excess:.2} times the budget, within the floor"),
            _ => "the last step lost too much: again from before it, smaller".into(),
        };
        let epochs = self.rules.epochs * (1 + failed);
        Next { parent: base, action: Action::Prune { aim, epochs }, why }
    }

    /// The networks of `line` have lost too much, or nearly.
    fn polish(&self, line: &[usize]) -> Next {
        let best = |a: &&usize, b: &&usize| {
            self.all[**a].accuracy.total_cmp(&self.all[**b].accuracy).then(b.cmp(a))
        };
        let parent = *line.iter().max_by(best).unwrap_or(&line[0]);
        let float_lost = self.lost(self.all[parent].float_accuracy);
        let lost = self.lost(self.all[parent].accuracy);
        let learned = |c: &usize| matches!(self.all[*c].action, Action::Integers { .. });
        let epochs = self.rules.epochs << line.len().min(8);
        let why = format!("{lost:.2} points lost, {:.2} are allowed", self.rules.max_drop);
        let action = match float_lost <= self.rules.max_drop && !line.iter().any(learned) {
            true => Action::Integers { epochs: self.rules.epochs },
            false => Action::Polish { epochs },
        };
        Next { parent, action, why }
    }
}

#[cfg(test)]
mod tests {
    use super::super::costs::{Cost, Costs};
    use super::*;

    const RULES: Rules = Rules { max_drop: 0.5, epochs: 3 };

    fn bounds() -> Bounds {
        Bounds { at_most: vec![(Cost::Latency, 1.0)] }
    }

    fn candidate(id: usize, next: &Next, latency_ms: f64, accuracies: [f64; 2]) -> Candidate {
        Candidate {
            id,
            parent: (id > 0).then_some(next.parent),
            action: next.action,
            why: String::new(),
            float_accuracy: accuracies[0],
            accuracy: accuracies[1],
            costs: Costs { latency_ms, memory: 1, size: 1, millijoules: None },
            predicted_ms: None,
            macs: (latency_ms * 1e6) as u64,
            params: 1,
            seconds: 1.0,
            sha256: Default::default(),
            commands: vec![],
        }
    }

    /// Goes a way in a world where latency follows the aim, and `accuracies` says how well a network
    /// of some latency does behind some epochs.
    fn go(start: f64, accuracies: impl Fn(f64, usize) -> [f64; 2]) -> Vec<Candidate> {
        let first = Next { parent: 0, action: Action::Start, why: String::new() };
        let mut all = vec![candidate(0, &first, start, accuracies(start, 0))];
        let mut epochs = vec![0];
        while let Some(next) = Tried::new(&all, &bounds(), RULES).next() {
            let parent = &all[next.parent];
            let (latency, learned) = match next.action {
                Action::Start => unreachable!(),
                Action::Prune { aim, epochs } => {
                    assert!(aim < parent.costs.latency_ms && aim >= 0.96, "{next:?}");
                    (aim, epochs)
                }
                Action::Polish { epochs: more } | Action::Integers { epochs: more } => {
                    (parent.costs.latency_ms, epochs[next.parent] + more)
                }
            };
            epochs.push(learned);
            all.push(candidate(all.len(), &next, latency, accuracies(latency, learned)));
            assert!(all.len() <= MOST);
        }
        all
    }

    fn best(all: &[Candidate]) -> usize {
        Tried::new(all, &bounds(), RULES).best().unwrap()
    }

    #[test]
    fn what_is_affordable_already_is_taken() {
        let all = go(0.8, |_, _| [90.0, 89.9]);
        assert_eq!((all.len(), best(&all)), (1, 0));
    }

    #[test]
    fn an_easy_way_is_short_and_even() {
        let all = go(2.0, |_, _| [90.0, 90.0]);
        let latencies: Vec<f64> = all.iter().map(|c| c.costs.latency_ms).collect();
        assert!(all.len() == 4 && best(&all) == 3, "{latencies:?}");
        let ratios = latencies.windows(2).map(|pair| pair[1] / pair[0]);
        assert!(ratios.into_iter().all(|ratio| (0.69..0.8).contains(&ratio)), "{latencies:?}");
        assert!((0.95..1.0).contains(&latencies[3]));
    }

    /// Small networks need more epochs: they get them.
    #[test]
    fn what_has_lost_too_much_learns_on() {
        let all = go(2.0, |latency, epochs| {
            let lost = if latency < 1.5 && epochs < 9 { 1.0 } else { 0.2 };
            [90.0 - if latency == 2.0 { 0.0 } else { lost }, 90.0 - lost]
        });
        let last = &all[best(&all)];
        assert!(last.costs.latency_ms < 1.0 && last.accuracy > 89.7);
        assert!(all.iter().any(|c| matches!(c.action, Action::Polish { .. })));
    }

    /// Where only the integers lose, only they learn.
    #[test]
    fn integers_learn_where_they_are_what_loses() {
        let all = go(1.3, |latency, epochs| {
            [90.0, if latency < 1.1 && epochs < 6 { 89.0 } else { 89.8 }]
        });
        assert!(matches!(all[2].action, Action::Integers { epochs: 3 }), "{:?}", all[2].action);
        assert_eq!(best(&all), 2);
    }

    /// What only just holds the floor on the pictures that decide learns on.
    #[test]
    fn what_has_lost_nearly_too_much_learns_on() {
        let all = go(1.3, |latency, epochs| {
            let lost = match epochs {
                _ if latency > 1.2 => 0.0,
                ..6 => 0.48,
                6..15 => 0.4,
                _ => 0.2,
            };
            [90.0 - lost; 2]
        });
        let actions: Vec<Action> = all[2..].iter().map(|c| c.action).collect();
        assert_eq!(actions, [Action::Integers { epochs: 3 }, Action::Polish { epochs: 12 }]);
        assert_eq!(best(&all), 3);
    }

    /// No network of this world within the budget holds the floor: the cheapest that does is taken,
    /// after smaller steps.
    #[test]
    fn the_floor_goes_before_the_budget() {
        let all = go(2.0, |latency, _| [90.0 - if latency < 1.2 { 2.0 } else { 0.0 }; 2]);
        let taken = &all[best(&all)];
        assert!(taken.accuracy == 90.0 && taken.costs.latency_ms < 1.45, "{taken:?}");
        let pruned = all.iter().filter(|c| matches!(c.action, Action::Prune { .. })).count();
        assert!(pruned > ATTEMPTS, "{pruned}");
    }

    #[test]
    fn a_network_that_cannot_shrink_ends_the_way() {
        let start = Next { parent: 0, action: Action::Start, why: String::new() };
        let mut all = vec![candidate(0, &start, 2.0, [90.0; 2])];
        while let Some(next) = Tried::new(&all, &bounds(), RULES).next() {
            // Nothing below 1.2 can be had.
            let Action::Prune { aim, .. } = next.action else { panic!("{next:?}") };
            all.push(candidate(all.len(), &next, aim.max(1.2), [90.0; 2]));
            assert!(all.len() < 6);
        }
        assert_eq!(all[best(&all)].costs.latency_ms, 1.2);
    }

    #[test]
    fn the_front_is_what_no_other_one_beats() {
        let next = Next { parent: 0, action: Action::Start, why: String::new() };
        let of = |(id, (latency, accuracy)): (usize, (f64, f64))| {
            candidate(id, &next, latency, [accuracy; 2])
        };
        let points = [(2.0, 90.0), (1.5, 88.0), (1.5, 89.0), (1.0, 89.0), (1.0, 89.0), (0.9, 85.0)];
        let all: Vec<Candidate> = points.into_iter().enumerate().map(of).collect();
        assert_eq!(Tried::new(&all, &bounds(), RULES).front(), [0, 3, 5]);
    }
}
