//! Small regression trees over binned columns.

use edgecut_graph::rng::Rng;

use super::table::{Binning, Row};

/// How a tree grows.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    /// Longest path from the root to a leaf.
    pub depth: usize,
    /// Fewest rows in a leaf.
    pub leaf: usize,
    /// Part of the columns that are tried for each split.
    pub columns: f32,
}

/// A regression tree: the mean of the rows that fall into a leaf.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Leaf(f64),
    /// Rows that do not fit go on at `others`, those that do at the next node.
    Split {
        test: Test,
        others: usize,
    },
}

/// Whether a bin is one, or at most one.
#[derive(Clone, Copy, Debug)]
struct Test {
    column: usize,
    bin: u16,
    ordered: bool,
}

impl Test {
    fn fits(&self, row: &[u16]) -> bool {
        let bin = row[self.column];
        if self.ordered { bin <= self.bin } else { bin == self.bin }
    }
}

/// What a tree is grown from.
pub struct Sample<'a> {
    /// What the bins mean.
    pub binning: &'a Binning,
    /// The rows.
    pub rows: &'a [Row],
    /// What is to be predicted of each.
    pub targets: &'a [f64],
    /// How the tree grows.
    pub growth: Growth,
}

impl Tree {
    /// The tree over those rows of `sample` that are `members`.
    pub fn grow(sample: &Sample, members: &mut [usize], rng: &mut Rng) -> Tree {
        let mut tree = Tree::default();
        tree.branch(sample, members, sample.growth.depth, rng);
        tree
    }

    fn branch(&mut self, sample: &Sample, members: &mut [usize], depth: usize, rng: &mut Rng) {
        let test = if depth == 0 { None } else { sample.best_test(members, rng) };
        let Some(test) = test else {
            let sum: f64 = members.iter().map(|&i| sample.targets[i]).sum();
            self.nodes.push(Node::Leaf(sum / members.len().max(1) as f64));
            return;
        };
        let middle = partition(members, |i| test.fits(&sample.rows[i]));
        let (fitting, others) = members.split_at_mut(middle);
        let here = self.nodes.len();
        self.nodes.push(Node::Leaf(0.0));
        self.branch(sample, fitting, depth - 1, rng);
        self.nodes[here] = Node::Split { test, others: self.nodes.len() };
        self.branch(sample, others, depth - 1, rng);
    }

    /// The value of `row`.
    pub fn predict(&self, row: &[u16]) -> f64 {
        let mut at = 0;
        loop {
            match &self.nodes[at] {
                Node::Leaf(value) => return *value,
                Node::Split { test, others } => at = if test.fits(row) { at + 1 } else { *others },
            }
        }
    }
}

impl Sample<'_> {
    /// The test that lowers the squared error most, over a random part of the columns.
    fn best_test(&self, members: &[usize], rng: &mut Rng) -> Option<Test> {
        let total: f64 = members.iter().map(|&i| self.targets[i]).sum();
        let all = members.len();
        let mut best: Option<(f64, Test)> = None;
        let mut bins: Vec<(usize, f64)> = vec![];
        for column in 0..self.binning.columns() {
            if rng.uniform() >= self.growth.columns {
                continue;
            }
            bins.clear();
            bins.resize(self.binning.bins(column), (0, 0.0));
            for &i in members {
                let bin = &mut bins[usize::from(self.rows[i][column])];
                bin.0 += 1;
                bin.1 += self.targets[i];
            }
            let ordered = self.binning.is_ordered(column);
            let (mut count, mut sum) = (0, 0.0);
            for (bin, found) in bins.iter().enumerate() {
                (count, sum) = match ordered {
                    true => (count + found.0, sum + found.1),
                    false => *found,
                };
                let rest = all - count;
                if count.min(rest) < self.growth.leaf.max(1) {
                    continue;
                }
                // How much two means explain beyond one.
                let gain = sum * sum / count as f64 + (total - sum) * (total - sum) / rest as f64
                    - total * total / all as f64;
                if gain > 1e-12 && best.as_ref().is_none_or(|(most, _)| gain > *most) {
                    best = Some((gain, Test { column, bin: bin as u16, ordered }));
                }
            }
        }
        best.map(|(_, test)| test)
    }
}

/// Brings those for which `first` holds to the front, and says how many they are.
fn partition(members: &mut [usize], first: impl Fn(usize) -> bool) -> usize {
    let mut count = 0;
    for at in 0..members.len() {
        if first(members[at]) {
            members.swap(at, count);
            count += 1;
        }
    }
    count
}
