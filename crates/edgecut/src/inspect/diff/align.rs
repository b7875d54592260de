//! Which nodes of two graphs are the same.

use std::collections::HashMap;

use edgecut_graph::Graph;

/// Largest table of the comparison of sequences, in cells of four bytes.
const MAX_CELLS: usize = 1 << 23;

/// Pairs of positions (in `a`, in `b`), ascending in both: nodes with the same operator, attributes
/// and output shape, in the same order. A longest such list where the graphs are small; in larger
/// ones, nodes of the same name are paired first and the lists between them compared.
pub fn align(a: &Graph, b: &Graph) -> Vec<(usize, usize)> {
    let (x, y) = keys(a, b);
    // What both begin and end with needs no table.
    let head = x.iter().zip(&y).take_while(|(x, y)| x == y).count();
    let rest = x[head..].iter().rev().zip(y[head..].iter().rev());
    let tail = rest.take_while(|(x, y)| x == y).count();
    let (m, n) = (x.len() - tail, y.len() - tail);
    let mut pairs: Vec<(usize, usize)> = (0..head).map(|i| (i, i)).collect();
    let mut from = (head, head);
    let anchors = match (m - head + 1).saturating_mul(n - head + 1) > MAX_CELLS {
        true => named_alike(a, b, (head..m, head..n), (&x, &y)),
        false => vec![],
    };
    for to in anchors.into_iter().chain([(m, n)]) {
        let gap = common(&x[from.0..to.0], &y[from.1..to.1]);
        pairs.extend(gap.into_iter().map(|(i, j)| (from.0 + i, from.1 + j)));
        if to != (m, n) {
            pairs.push(to);
        }
        from = (to.0 + 1, to.1 + 1);
    }
    pairs.extend((0..tail).map(|k| (m + k, n + k)));
    pairs
}

/// A number for each node, equal where operator, attributes and output shape are.
fn keys(a: &Graph, b: &Graph) -> (Vec<u32>, Vec<u32>) {
    let mut known: HashMap<(String, Vec<usize>), u32> = HashMap::new();
    let mut of = |graph: &Graph| -> Vec<u32> {
        let key = |n: &edgecut_graph::Node| {
            (format!("{:?}", n.op), graph.value(n.output()).shape.with_symbols(1))
        };
        let mut number = |n| {
            let next = known.len() as u32;
            *known.entry(key(n)).or_insert(next)
        };
        graph.nodes.iter().map(&mut number).collect()
    };
    (of(a), of(b))
}

/// A longest ascending list of pairs that have the same name and key.
fn named_alike(
    a: &Graph,
    b: &Graph,
    (rows, columns): (std::ops::Range<usize>, std::ops::Range<usize>),
    (x, y): (&[u32], &[u32]),
) -> Vec<(usize, usize)> {
    let places: HashMap<&str, usize> = columns.map(|j| (b.nodes[j].name.as_str(), j)).collect();
    let place = |i: usize| {
        let j = *places.get(a.nodes[i].name.as_str())?;
        (x[i] == y[j]).then_some((i, j))
    };
    let pairs: Vec<(usize, usize)> = rows.filter_map(place).collect();
    // Longest ascending subsequence by patience sorting: `ends[k]` ends the best list of k + 1.
    let (mut ends, mut before): (Vec<usize>, Vec<Option<usize>>) = (vec![], vec![]);
    for (index, &(_, j)) in pairs.iter().enumerate() {
        let at = ends.partition_point(|&e: &usize| pairs[e].1 < j);
        before.push(at.checked_sub(1).map(|k| ends[k]));
        if at == ends.len() { ends.push(index) } else { ends[at] = index }
    }
    let mut list = vec![];
    let mut next = ends.last().copied();
    while let Some(index) = next {
        list.push(pairs[index]);
        next = before[index];
    }
    list.reverse();
    list
}

/// A longest common subsequence; nothing where its table would be too large.
fn common(x: &[u32], y: &[u32]) -> Vec<(usize, usize)> {
    let width = y.len() + 1;
    if (x.len() + 1).saturating_mul(width) > MAX_CELLS {
        return vec![];
    }
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
    let (mut i, mut j, mut pairs) = (0, 0, vec![]);
    while i < x.len() && j < y.len() {
        if x[i] == y[j] {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_graph::{Builder, Op, ValueId};

    /// A chain of Softmaxes and Relus, named by position from `first`.
    fn chain(kinds: &str, first: usize) -> Graph {
        let mut b = Builder::new("chain", 0);
        let x = b.input("x", [1.into(), 4.into()]);
        let mut graph = b.finish(&[x]).unwrap();
        let mut value: ValueId = graph.inputs[0];
        for (i, kind) in kinds.chars().enumerate() {
            let op = if kind == 's' { Op::Softmax { axis: 1 } } else { Op::RELU };
            value = graph.add_node(format!("n{}", first + i), op, &[Some(value)]).unwrap();
        }
        graph.outputs = vec![value];
        graph
    }

    #[test]
    fn a_common_subsequence_is_longest() {
        assert_eq!(common(&[1, 2, 3, 4, 5, 9], &[1, 3, 7, 5, 4, 9]).len(), 4);
        assert_eq!(common(&[], &[1]), []);
        assert_eq!(common(&[1, 1], &[1]), [(0, 0)]);
    }

    #[test]
    fn an_inserted_node_is_the_only_one_apart() {
        let (a, b) = (chain("srsrs", 0), chain("srrsrs", 0));
        let pairs = align(&a, &b);
        assert_eq!(pairs.len(), 5);
        assert!(pairs.windows(2).all(|p| p[0].0 < p[1].0 && p[0].1 < p[1].1), "{pairs:?}");
        assert!(align(&a, &chain("", 0)).is_empty());
    }

    #[test]
    fn large_graphs_are_aligned_by_names() {
        let kinds: String = (0..9000).map(|i| if i % 3 == 0 { 's' } else { 'r' }).collect();
        // Both ends differ, so that everything lies between.
        let (a, b) = (chain(&format!("r{kinds}r"), 0), chain(&format!("s{kinds}s"), 0));
        let began = std::time::Instant::now();
        assert_eq!(align(&a, &b).len(), 9000);
        assert!(began.elapsed().as_secs() < 20);
    }
}
