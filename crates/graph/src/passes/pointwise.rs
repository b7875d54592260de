//! Squeeze-and-excitation blocks written with fully connected layers: a 1x1 map becomes a vector,
//! goes through layers and activations, and becomes a map again. With 1x1 convolutions in their
//! place it stays a map, and kernels and quantiser see one form.

use super::rewrite::{Names, View};
use crate::{Conv, Dim, Gemm, Graph, Node, Op, Result, Shape, Tensor, ValueId, Window};

/// Longest chain of layers and activations between the two reshapes.
const MAX_CHAIN: usize = 16;

/// Fully connected layers and activations between a reshape of `[n, c, 1, 1]` to `[n, c]` and one
/// back become 1x1 convolutions and activations of the map. Returns how many chains. Exact.
pub fn pointwise(graph: &mut Graph) -> Result<usize> {
    let view = View::new(graph);
    let mut names = Names::new(graph);
    let mut count = 0;
    for root in 0..graph.nodes.len() {
        if let Some((map, chain)) = as_chain(graph, &view, root) {
            count += usize::from(convert(graph, &mut names, root, map, &chain)?);
        }
    }
    super::finish(graph, count)
}

/// The map before the first reshape, and the nodes between the reshapes, first to last.
fn as_chain(graph: &Graph, view: &View, root: usize) -> Option<(ValueId, Vec<usize>)> {
    let node = graph.nodes.get(root)?;
    if !super::reshapes::is_reshape(&node.op) || !is_point(graph, node.output()) {
        return None;
    }
    let (mut chain, mut x) = (vec![], node.input(0).ok()?);
    let mut layers = 0;
    while chain.len() < MAX_CHAIN {
        let (index, inner) = view.node(graph, x)?;
        if graph.value(x).shape.rank() != 2 || !view.is_private(graph, x) {
            return None;
        }
        let source = inner.input(0).ok()?;
        match inner.op {
            _ if super::reshapes::is_reshape(&inner.op) => {
                let (from, to) = (&graph.value(source).shape, &graph.value(x).shape);
                let same = is_point(graph, source) && from.dims()[..2] == *to.dims();
                chain.reverse();
                return (same && layers > 0).then_some((source, chain));
            }
            Op::Unary(_) => {}
            Op::Gemm(gemm) if is_layer(graph, inner, &gemm) => layers += 1,
            _ => return None,
        }
        chain.push(index);
        x = source;
    }
    None
}

/// Whether a value is a map `[n, c, 1, 1]`.
fn is_point(graph: &Graph, id: ValueId) -> bool {
    matches!(graph.value(id).shape.dims(), [_, _, Dim::Fixed(1), Dim::Fixed(1)])
}

/// Whether a Gemm is `x * w + b` with a constant w and a bias for each column.
fn is_layer(graph: &Graph, node: &Node, gemm: &Gemm) -> bool {
    let constant =
        |i: usize| node.inputs.get(i).copied().flatten().and_then(|id| graph.constant(id));
    let columns = graph.value(node.output()).shape.dims()[1].fixed();
    let biased = node.inputs.get(2).copied().flatten().is_some();
    let fits = constant(2).is_some_and(|b| b.rank() == 1 && Some(b.len()) == columns);
    let scaled = gemm.alpha != 1.0 || (biased && gemm.beta != 1.0) || gemm.trans_a;
    !scaled && constant(1).is_some() && (!biased || fits)
}

fn convert(
    graph: &mut Graph,
    names: &mut Names,
    root: usize,
    map: ValueId,
    chain: &[usize],
) -> Result<bool> {
    let Some(&last) = chain.last() else { return Ok(false) };
    let mut x = map;
    for &index in chain {
        if let Op::Gemm(gemm) = graph.nodes[index].op {
            let weight = kernel(graph, names, index, &gemm)?;
            let node = &mut graph.nodes[index];
            node.inputs[1] = Some(weight);
            node.op = Op::Conv(Conv { window: Window::new([1, 1], [1, 1]), groups: 1 });
        }
        let node = &mut graph.nodes[index];
        node.inputs[0] = Some(x);
        x = node.output();
        let mut dims = graph.value(x).shape.dims().to_vec();
        dims.extend([Dim::Fixed(1), Dim::Fixed(1)]);
        graph.value_mut(x).shape = Shape::new(dims);
    }
    // The second reshape becomes the last link, so that its output keeps its name.
    let link = graph.nodes[last].clone();
    graph.nodes[root].op = link.op;
    graph.nodes[root].inputs = link.inputs;
    Ok(true)
}

/// The weight of a Gemm as a kernel `[m, c, 1, 1]`, a constant of its own.
fn kernel(graph: &mut Graph, names: &mut Names, index: usize, gemm: &Gemm) -> Result<ValueId> {
    let id = graph.nodes[index].input(1)?;
    let node = &graph.nodes[index];
    let old = graph.constant(id).ok_or_else(|| node.error("weight is not constant"))?;
    let (rows, columns) = match old.shape() {
        [rows, columns] => (*rows, *columns),
        _ => return Err(node.error("weight is not a matrix")),
    };
    let tensor = if gemm.trans_b {
        old.reshaped([rows, columns, 1, 1])?
    } else {
        let values = old.f32s()?;
        let turned = (0..rows * columns).map(|i| values[i % rows * columns + i / rows]);
        Tensor::new([columns, rows, 1, 1], turned.collect::<Vec<f32>>())?
    };
    let name = names.value(&format!("{}.kernel", graph.value(id).name));
    Ok(graph.add_constant(name, tensor))
}
