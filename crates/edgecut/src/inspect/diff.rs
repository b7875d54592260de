//! What differs between two models: sizes, ports, operators, nodes, weights, and what they compute.

use std::collections::{BTreeMap, HashMap};

use edgecut_graph::{Graph, Tensor};
use maud::{Markup, html};
use serde::Serialize;

use super::summary::{Kind, Summary, extents};
use crate::{files, term};

/// Nodes and tensors listed in the terminal and on the page; `--json` has them all.
const SHOWN: usize = 20;
/// Pairs of nodes that the comparison of sequences looks at.
const MAX_PAIRS: usize = 1 << 25;

/// What differs from the first model (a) to the second (b).
#[derive(Serialize)]
pub struct Diff {
    a: String,
    b: String,
    sizes: Vec<Size>,
    ports_differ: bool,
    operators: BTreeMap<&'static str, [Kind; 2]>,
    /// Nodes that only a has, by name, operator and output.
    removed: Vec<String>,
    /// Nodes that only b has.
    added: Vec<String>,
    tensors: Tensors,
    /// Largest difference of outputs on generated inputs; none where the inputs differ.
    outputs: Option<Outputs>,
}

#[derive(Serialize)]
struct Size {
    what: &'static str,
    a: u64,
    b: u64,
    #[serde(skip)]
    bytes: bool,
}

/// Stored tensors, matched by name.
#[derive(Serialize, Default)]
struct Tensors {
    equal: usize,
    only_a: usize,
    only_b: usize,
    changed: Vec<Changed>,
}

#[derive(Serialize)]
struct Changed {
    name: String,
    a: String,
    b: String,
    /// Largest absolute difference of elements; none where type or shape differ.
    max_abs: Option<f64>,
}

/// How far outputs are apart.
#[derive(Serialize, Clone, Copy)]
pub struct Outputs {
    /// Largest absolute difference.
    pub max_abs: f64,
    /// The same, relative to the largest magnitude.
    pub max_rel: f64,
}

impl Diff {
    /// Compares two models; `outputs` is how far apart they compute, where that was measured.
    pub fn new(
        (a, graph_a): (&Summary, &Graph),
        (b, graph_b): (&Summary, &Graph),
        outputs: Option<Outputs>,
    ) -> Diff {
        let size = |what, a, b, bytes| Size { what, a, b, bytes };
        let nodes = |s: &Summary| s.operators.values().map(|k| k.nodes).sum();
        let (removed, added) = nodes_apart(graph_a, graph_b);
        Diff {
            a: a.path.display().to_string(),
            b: b.path.display().to_string(),
            sizes: vec![
                size("file", a.file_bytes, b.file_bytes, true),
                size("nodes", nodes(a), nodes(b), false),
                size("parameters", a.parameters, b.parameters, false),
                size("multiply-adds", a.macs, b.macs, false),
                size("weights", a.weight_bytes, b.weight_bytes, true),
                size("peak activations", a.peak_activation_bytes, b.peak_activation_bytes, true),
            ],
            ports_differ: a.inputs != b.inputs || a.outputs != b.outputs,
            operators: operators(a, b),
            removed,
            added,
            tensors: tensors(graph_a, graph_b),
            outputs,
        }
    }

    /// Prints the comparison.
    pub fn show(&self) {
        files::print(&format!("a = {}, b = {}", self.a, self.b));
        let row = |s: &Size| vec![s.what.to_string(), s.show(s.a), s.show(s.b), s.change()];
        let rows: Vec<Vec<String>> = self.sizes.iter().map(row).collect();
        files::print(&term::table(&["", "a", "b", "change"], &[1, 2, 3], &rows));
        if self.ports_differ {
            files::print("inputs or outputs differ in name, type or shape");
        }
        let row = |(op, [a, b]): (&&str, &[Kind; 2])| {
            vec![op.to_string(), a.nodes.to_string(), b.nodes.to_string()]
        };
        let rows: Vec<Vec<String>> = self.operators.iter().map(row).collect();
        if !rows.is_empty() {
            files::print(&term::table(&["operator", "a", "b"], &[1, 2], &rows));
        }
        for (mark, list) in [("-", &self.removed), ("+", &self.added)] {
            list.iter().take(SHOWN).for_each(|n| files::print(&format!("{mark} {n}")));
            if list.len() > SHOWN {
                files::print(&format!("{mark} … and {} more", list.len() - SHOWN));
            }
        }
        files::print(&self.tensors.text());
        for t in self.tensors.changed.iter().take(SHOWN) {
            files::print(&format!("~ {}", t.text()));
        }
        files::print(&self.outputs_text());
    }

    fn outputs_text(&self) -> String {
        match self.outputs {
            Some(o) if o.max_abs == 0.0 => "outputs on generated inputs: equal".into(),
            Some(o) => format!(
                "outputs on generated inputs: at most {:.2e} apart (relative {:.2e})",
                o.max_abs, o.max_rel
            ),
            None => "outputs not compared: inputs or outputs differ".into(),
        }
    }

    /// The same as part of a page.
    pub fn section(&self) -> Markup {
        html! {
            section {
                h2 { "Against " (self.b) }
                table {
                    thead { tr { th {} th.n { "this model" } th.n { "the other" } th.n { "change" } } }
                    tbody { @for s in &self.sizes { tr { td { (s.what) } td.n { (s.show(s.a)) } td.n { (s.show(s.b)) } td.n { (s.change()) } } } }
                }
                p { (self.outputs_text()) }
                p { (self.tensors.text()) }
                @if !self.operators.is_empty() {
                    table.small {
                        thead { tr { th { "operator" } th.n { "this model" } th.n { "the other" } } }
                        tbody { @for (op, [a, b]) in &self.operators { tr { td { (op) } td.n { (a.nodes) } td.n { (b.nodes) } } } }
                    }
                }
                @for (title, list) in [("Only here", &self.removed), ("Only in the other", &self.added)] {
                    @if !list.is_empty() {
                        details { summary { (title) " (" (list.len()) " nodes)" } ul { @for n in list.iter().take(500) { li { (n) } } } }
                    }
                }
            }
        }
    }
}

impl Size {
    fn show(&self, n: u64) -> String {
        if self.bytes { term::bytes(n) } else { term::count(n) }
    }

    fn change(&self) -> String {
        match (self.a, self.b) {
            (a, b) if a == b => "same".into(),
            (0, _) => String::new(),
            (a, b) => format!("{:+.1} %", 100.0 * (b as f64 / a as f64 - 1.0)),
        }
    }
}

impl Tensors {
    fn text(&self) -> String {
        format!(
            "stored tensors: {} equal, {} changed, {} only in a, {} only in b",
            self.equal,
            self.changed.len(),
            self.only_a,
            self.only_b
        )
    }
}

impl Changed {
    fn text(&self) -> String {
        match self.max_abs {
            Some(d) => format!("{} {}: at most {d:.2e} apart", self.name, self.a),
            None => format!("{}: {} became {}", self.name, self.a, self.b),
        }
    }
}

/// Operators whose numbers differ.
fn operators(a: &Summary, b: &Summary) -> BTreeMap<&'static str, [Kind; 2]> {
    let of = |s: &Summary, op: &str| s.operators.get(op).copied().unwrap_or_default();
    let names = a.operators.keys().chain(b.operators.keys());
    let pairs = names.map(|&op| (op, [of(a, op), of(b, op)]));
    pairs.filter(|(_, [a, b])| a != b).collect()
}

/// Nodes of each graph outside a longest common subsequence of (operator, output shape).
fn nodes_apart(a: &Graph, b: &Graph) -> (Vec<String>, Vec<String>) {
    let key = |graph: &Graph| -> Vec<(String, Vec<usize>)> {
        let shape = |n: &edgecut_graph::Node| graph.value(n.output()).shape.with_symbols(1);
        graph.nodes.iter().map(|n| (format!("{:?}", n.op), shape(n))).collect()
    };
    let (keys_a, keys_b) = (key(a), key(b));
    let (kept_a, kept_b) = common(&keys_a, &keys_b);
    let list = |graph: &Graph, kept: &[bool]| {
        let apart = graph.nodes.iter().zip(kept).filter(|(_, kept)| !**kept);
        let text = |n: &edgecut_graph::Node| {
            let shape = graph.value(n.output()).shape.with_symbols(1);
            format!("{} {} {}", n.op.name(), extents(&shape), n.name)
        };
        apart.map(|(n, _)| text(n)).collect()
    };
    (list(a, &kept_a), list(b, &kept_b))
}

/// Which elements belong to a longest common subsequence; equal ends are taken first.
fn common<T: PartialEq>(a: &[T], b: &[T]) -> (Vec<bool>, Vec<bool>) {
    let (mut in_a, mut in_b) = (vec![false; a.len()], vec![false; b.len()]);
    let head = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let tail =
        a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    in_a[..head].fill(true);
    in_b[..head].fill(true);
    in_a[a.len() - tail..].fill(true);
    in_b[b.len() - tail..].fill(true);
    let (x, y) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    if x.len().saturating_mul(y.len()) > MAX_PAIRS {
        return (in_a, in_b);
    }
    let width = y.len() + 1;
    let mut longest = vec![0u32; (x.len() + 1) * width];
    for i in (0..x.len()).rev() {
        for j in (0..y.len()).rev() {
            longest[i * width + j] = if x[i] == y[j] {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    while i < x.len() && j < y.len() {
        if x[i] == y[j] {
            (in_a[head + i], in_b[head + j]) = (true, true);
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    (in_a, in_b)
}

fn tensors(a: &Graph, b: &Graph) -> Tensors {
    let stored = |graph: &Graph| -> HashMap<String, Tensor> {
        let constants = graph
            .values()
            .iter()
            .filter_map(|v| v.constant.as_ref().map(|tensor| (v.name.clone(), tensor.clone())));
        constants.collect()
    };
    let (of_a, of_b) = (stored(a), stored(b));
    let mut result = Tensors {
        only_b: of_b.keys().filter(|name| !of_a.contains_key(*name)).count(),
        ..Tensors::default()
    };
    for (name, x) in &of_a {
        match of_b.get(name) {
            None => result.only_a += 1,
            Some(y) if x == y => result.equal += 1,
            Some(y) => result.changed.push(changed(name, x, y)),
        }
    }
    result.changed.sort_by(|x, y| x.name.cmp(&y.name));
    result
}

fn changed(name: &str, a: &Tensor, b: &Tensor) -> Changed {
    let text = |t: &Tensor| format!("{} {}", t.dtype(), extents(t.shape()));
    let alike = a.shape() == b.shape() && a.dtype() == b.dtype();
    let apart = |(x, y): (&f32, &f32)| f64::from((x - y).abs());
    let max_abs = alike.then(|| a.to_f32().iter().zip(&b.to_f32()).map(apart).fold(0.0, f64::max));
    Changed { name: name.to_string(), a: text(a), b: text(b), max_abs }
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn a_common_subsequence_is_longest() {
        let (a, b) = common(&[1, 2, 3, 4, 5, 9], &[1, 3, 7, 5, 4, 9]);
        assert_eq!(a.iter().filter(|&&k| k).count(), 4, "{a:?}");
        assert_eq!(b.iter().filter(|&&k| k).count(), 4);
        assert_eq!(common::<u8>(&[], &[1]), (vec![], vec![false]));
        assert_eq!(common(&[1, 1], &[1]), (vec![true, false], vec![true]));
    }
}
