//! Which channels go first, and how many of each group.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Channels, Group, Plan, Role};

/// What channels are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ranking {
    /// All channels of the network. Importances of different layers must mean the same.
    Global,
    /// Those of their group: each group loses the same share.
    Layer,
    /// Those of groups of the same structure (isomorphic pruning, Fang et al., arXiv:2407.04616):
    /// importances compare there, and each structure loses the same share.
    #[default]
    Isomorphic,
}

/// How many channels must stay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Dimensions shrink to multiples of this, where they had as many.
    pub round: usize,
    /// Indices of the widest dimension of each group that stay at least: channels, or those of
    /// whole heads.
    pub min_channels: usize,
    /// Share of each group that may go at most.
    pub max_ratio: f64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { round: 1, min_channels: 1, max_ratio: 0.9 }
    }
}

/// All channels in the order in which they go: group and number.
#[derive(Clone, Debug)]
pub struct Order {
    /// First to last.
    order: Vec<(usize, usize)>,
    /// By group: its channels, the least important first.
    within: Vec<Vec<usize>>,
}

impl Order {
    /// Ranks channels by `scores`, by group and channel; the least goes first.
    pub fn new(channels: &Channels, scores: &[Vec<f64>], ranking: Ranking) -> Order {
        let within: Vec<Vec<usize>> = scores.iter().map(|scores| ascending(scores)).collect();
        let mut pools: BTreeMap<Pool, Vec<(usize, usize)>> = BTreeMap::new();
        for (at, group) in channels.groups.iter().enumerate() {
            let pool = match ranking {
                Ranking::Global => Pool::Network,
                Ranking::Layer => Pool::Group(at),
                Ranking::Isomorphic => Pool::Structure(structure(channels, group)),
            };
            pools.entry(pool).or_default().extend((0..group.channels.len()).map(|c| (at, c)));
        }
        // A channel's place is the share of its pool that goes before it.
        let mut places: Vec<(f64, usize, usize)> = vec![];
        for pool in pools.values() {
            let values: Vec<f64> = pool.iter().map(|&(g, c)| scores[g][c]).collect();
            for (place, at) in ascending(&values).into_iter().enumerate() {
                let share = (place as f64 + 0.5) / pool.len() as f64;
                places.push((share, pool[at].0, pool[at].1));
            }
        }
        places.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        Order { order: places.into_iter().map(|(_, g, c)| (g, c)).collect(), within }
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is no channel.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The plan that removes the first `count` channels, within `bounds`.
    pub fn plan(&self, channels: &Channels, count: usize, bounds: &Bounds) -> Plan {
        let mut wanted = vec![0; self.within.len()];
        self.order.iter().take(count).for_each(|&(group, _)| wanted[group] += 1);
        self.plan_of(channels, &wanted, bounds)
    }

    /// The plan that removes so many of each group, within `bounds`.
    pub fn plan_of(&self, channels: &Channels, wanted: &[usize], bounds: &Bounds) -> Plan {
        let mut removal = Removal::new(channels);
        for (at, group) in channels.groups.iter().enumerate() {
            let mut left = bounds.removable(group, wanted[at]);
            for &channel in &self.within[at] {
                if left == 0 {
                    break;
                }
                left -= usize::from(removal.remove(at, channel));
            }
        }
        removal.plan()
    }
}

/// Channels that are compared with each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Pool {
    Network,
    Group(usize),
    Structure(Vec<(&'static str, usize, Role)>),
}

/// What a group runs through, in order: operator, dimension, and what it means there.
fn structure(channels: &Channels, group: &Group) -> Vec<(&'static str, usize, Role)> {
    let node = |at: usize| channels.graph.nodes[at].op.name();
    group.members.iter().map(|m| (node(m.node), m.dim, m.role)).collect()
}

impl Bounds {
    /// How many channels of `group` go when `wanted` should.
    fn removable(&self, group: &Group, wanted: usize) -> usize {
        if wanted == 0 {
            return 0;
        }
        let (all, width) = (group.channels.len(), group.width());
        // Channels that make up a whole multiple: 8 of one index each, 1 head of 64.
        let unit = self.round.max(1);
        let unit = unit / common_divisor(unit, width);
        let most = (all as f64 * self.max_ratio).floor() as usize;
        let least = (all - most.min(all)).max(self.min_channels.div_ceil(width)).max(1);
        let kept = all.saturating_sub(wanted).max(least);
        let nearest = (kept + unit / 2) / unit * unit;
        let rounded = if nearest < least { kept.next_multiple_of(unit) } else { nearest };
        all - rounded.min(all)
    }
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Positions of `values` in ascending order; equal ones stay in order.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}

/// Channels chosen so far. No dimension is left without an index.
struct Removal<'a> {
    channels: &'a Channels,
    dead: BTreeSet<u32>,
    /// By dimension of all values.
    left: Vec<usize>,
    removed: Vec<Vec<usize>>,
}

impl<'a> Removal<'a> {
    fn new(channels: &'a Channels) -> Removal<'a> {
        let left = channels.extents.lens.clone();
        Removal {
            channels,
            dead: BTreeSet::new(),
            left,
            removed: vec![vec![]; channels.groups.len()],
        }
    }

    /// Removes channel `number` of group `group`, unless a dimension would lose its last index.
    fn remove(&mut self, group: usize, number: usize) -> bool {
        let classes = &self.channels.groups[group].channels[number].classes;
        let fresh: Vec<u32> = classes.iter().copied().filter(|c| !self.dead.contains(c)).collect();
        let counts = || fresh.iter().flat_map(|&class| self.channels.extents.of_class(class));
        let mut gone: BTreeMap<usize, usize> = BTreeMap::new();
        counts().for_each(|&(axis, count)| *gone.entry(axis).or_default() += count);
        if gone.iter().any(|(&axis, &count)| self.left[axis] <= count) {
            return false;
        }
        gone.into_iter().for_each(|(axis, count)| self.left[axis] -= count);
        self.dead.extend(fresh);
        self.removed[group].push(number);
        true
    }

    fn plan(mut self) -> Plan {
        self.removed.iter_mut().for_each(|numbers| numbers.sort_unstable());
        Plan { removed: self.removed }
    }
}
