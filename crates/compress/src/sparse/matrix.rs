//! The weights of a dense layer as a matrix.

use edgecut_graph::{Graph, Node, Op, ValueId};

/// Places of the weights of a layer: output `o`, place of the kernel `k`, input channel `i` is
/// element `o * output + k * place + i * input` of the tensor.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    /// Name of its node.
    pub name: String,
    /// Outputs, places, input channels.
    pub extents: [usize; 3],
    strides: [usize; 3],
}

impl Matrix {
    /// All dense layers with constant float weights, each weight tensor once.
    pub fn of_layers(graph: &Graph, exclude: &[String]) -> Vec<(Matrix, ValueId)> {
        let mut found: Vec<(Matrix, ValueId)> = Vec::new();
        for node in graph.nodes.iter().filter(|node| !exclude.contains(&node.name)) {
            let Some(Some(id)) = node.inputs.get(1).copied() else { continue };
            let float = graph.constant(id).is_some_and(|tensor| tensor.f32s().is_ok());
            if !float || found.iter().any(|(_, known)| *known == id) {
                continue;
            }
            let shape = graph.value(id).shape.with_symbols(1);
            if let Some(matrix) = Matrix::of(node, &shape) {
                found.push((matrix, id));
            }
        }
        found
    }

    /// None of a depthwise layer, whose few weights carry much, and of nodes that are no layer.
    fn of(node: &Node, shape: &[usize]) -> Option<Matrix> {
        let (extents, strides) = match (&node.op, shape) {
            (Op::Conv(_), [outputs, inputs, kernel @ ..]) if *inputs > 1 => {
                let places: usize = kernel.iter().product();
                ([*outputs, places, *inputs], [inputs * places, 1, places])
            }
            (Op::Gemm(gemm), [outputs, inputs]) if gemm.trans_b => {
                ([*outputs, 1, *inputs], [*inputs, 0, 1])
            }
            (Op::Gemm(_) | Op::MatMul, [inputs, outputs]) => {
                ([*outputs, 1, *inputs], [1, 0, *outputs])
            }
            _ => return None,
        };
        Some(Matrix { name: node.name.clone(), extents, strides })
    }

    /// The element of the tensor.
    pub fn element(&self, output: usize, place: usize, input: usize) -> usize {
        output * self.strides[0] + place * self.strides[1] + input * self.strides[2]
    }
}
