//! The products of an integer layer as a kernel sees them: bytes times rows of weights.

use edgecut_graph::{DType, Gemm, Graph, Node, Op, ValueId};

use super::bounds::{Interval, bounds, parameters};

/// An integer layer: u8 activations, s8 weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Products {
    /// Name of the node.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// Smallest byte that an activation can be. Signed ones are counted from 128, as kernels that
    /// need unsigned ones store them.
    pub low: u8,
    /// Largest byte that an activation can be.
    pub high: u8,
    /// For each output channel its weights, in the order in which products are summed: kernel rows,
    /// kernel columns, input channels.
    pub rows: Vec<Vec<i8>>,
    /// Input channels, the number of weights of one tap of the kernel.
    pub tap: usize,
    /// The constant with the weights.
    pub(super) weights: ValueId,
    /// For each output channel and place in its row, the index in that constant.
    pub(super) places: Vec<Vec<usize>>,
}

impl Products {
    /// All pairs of places that some kernel adds in 16 bits: neighbours in the row, and, where the
    /// number of channels is odd, neighbours in each tap, because kernels pad it to an even one.
    /// What has no neighbour stands alone.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, Option<usize>)> + use<> {
        let (len, tap) = (self.rows.first().map_or(0, Vec::len), self.tap.max(1));
        let neighbours = |from: usize, to: usize| {
            (from..to).step_by(2).map(move |i| (i, Some(i + 1).filter(|&next| next < to)))
        };
        let by_tap = if tap % 2 == 0 { 0 } else { len / tap };
        let taps = (0..by_tap).flat_map(move |t| neighbours(t * tap, (t + 1) * tap));
        neighbours(0, len).chain(taps)
    }
}

/// All layers of `graph` that multiply u8 or s8 activations with constant s8 weights. Unsigned
/// weights take another path, which cannot saturate.
pub(super) fn layers(graph: &Graph) -> Vec<Products> {
    let (producers, bounds) = (graph.producers(), bounds(graph));
    let dequantised = |id: ValueId| {
        let node = &graph.nodes[producers[id.index()]?];
        matches!(node.op, Op::Dequantize { .. }).then_some(node)
    };
    let layer = |node: &Node| {
        let x = dequantised(node.input(0).ok()?)?;
        let w = dequantised(node.input(1).ok()?)?.input(0).ok()?;
        let codes = graph.constant(w)?;
        let weights = codes.i8s().ok()?;
        let (places, tap) = places(&node.op, codes.shape())?;
        let row = |row: &Vec<usize>| row.iter().map(|&place| weights[place]).collect();
        let (low, high) = activations(graph, node, x, &bounds)?;
        let rows = places.iter().map(row).collect();
        Some(Products {
            node: node.name.clone(),
            op: node.op.name(),
            low,
            high,
            rows,
            tap,
            weights: w,
            places,
        })
    };
    graph.nodes.iter().filter_map(layer).collect()
}

/// The bytes that `node` can meet, of what the node `x` dequantises. Padding is a zero point.
fn activations(graph: &Graph, node: &Node, x: &Node, bounds: &[Interval]) -> Option<(u8, u8)> {
    let codes = x.input(0).ok()?;
    let offset = match graph.value(codes).dtype {
        DType::U8 => 0.0,
        DType::I8 => 128.0,
        _ => return None,
    };
    let mut found = bounds[codes.index()];
    if matches!(&node.op, Op::Conv(conv) if conv.window.pads != [0; 4]) {
        found = found.union(Interval::of([parameters(graph, x)?.1]));
    }
    // Within 0..=255 by the bounds of the type.
    Some(((found.low + offset) as u8, (found.high + offset) as u8))
}

/// Where the weights of each output channel lie in a tensor of this shape, in the order of
/// [`Products::rows`], and the weights of a tap.
fn places(op: &Op, shape: &[usize]) -> Option<(Vec<Vec<usize>>, usize)> {
    match (op, shape) {
        (Op::Conv(_), &[outputs, channels, height, width]) => {
            let taps = height * width;
            let row = |o: usize| {
                let at = move |t: usize| (0..channels).map(move |c| (o * channels + c) * taps + t);
                (0..taps).flat_map(at).collect()
            };
            Some(((0..outputs).map(row).collect(), channels))
        }
        (Op::Gemm(Gemm { trans_b: true, .. }), &[outputs, inputs]) => {
            let row = |o: usize| (o * inputs..(o + 1) * inputs).collect();
            Some(((0..outputs).map(row).collect(), inputs))
        }
        (Op::Gemm(_) | Op::MatMul, &[inputs, outputs]) => {
            let row = |o: usize| (0..inputs).map(|i| i * outputs + o).collect();
            Some(((0..outputs).map(row).collect(), inputs))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products(tap: usize, len: usize) -> Products {
        Products {
            node: "n".into(),
            op: "Conv",
            low: 0,
            high: 255,
            rows: vec![vec![1; len]],
            tap,
            weights: Graph::new("g").add_constant("w", edgecut_graph::Tensor::scalar(0.0)),
            places: vec![(0..len).collect()],
        }
    }

    #[test]
    fn pairs_are_those_of_every_order() {
        let pairs = |tap, len| products(tap, len).pairs().collect::<Vec<_>>();
        assert_eq!(pairs(2, 4), [(0, Some(1)), (2, Some(3))]);
        let odd = [(0, Some(1)), (2, Some(3)), (4, Some(5))];
        let by_tap = [(0, Some(1)), (2, None), (3, Some(4)), (5, None)];
        assert_eq!(pairs(3, 6), [&odd[..], &by_tap].concat());
    }

    #[test]
    fn rows_are_in_the_order_of_summation() {
        let window = edgecut_graph::Window::new([1, 2], [1, 1]);
        let op = Op::Conv(edgecut_graph::Conv { window, groups: 1 });
        // [output, channel, row, column]: both channels of the left tap, then of the right.
        let (found, tap) = places(&op, &[2, 2, 1, 2]).unwrap();
        assert_eq!((found, tap), (vec![vec![0, 2, 1, 3], vec![4, 6, 5, 7]], 2));
        let (found, _) = places(&Op::MatMul, &[3, 2]).unwrap();
        assert_eq!(found, [[0, 2, 4], [1, 3, 5]]);
    }
}
