//! Operators without a gradient: positions, comparisons, whatever gives integers.

use edgecut_graph::{DType, Data, Graph, Node, Tensor, interpret};

use super::operator::{Backward, Forward, Operator};

/// An input of a node.
#[derive(Debug)]
pub(crate) enum Argument {
    /// An optional one that is not there.
    Absent,
    /// Known beforehand.
    Constant(Tensor),
    /// Computed: its type, and its shape for one image.
    Computed(DType, Vec<usize>),
}

/// A node of a graph, run by the reference interpreter image by image. Integers and booleans are
/// kept as floats. It allocates, as nothing else does in a step.
#[derive(Debug)]
pub(crate) struct Detached {
    node: Node,
    arguments: Vec<Argument>,
    /// Elements of an image of its first output.
    len: usize,
}

impl Detached {
    pub fn new(node: Node, arguments: Vec<Argument>, len: usize) -> Detached {
        Detached { node, arguments, len }
    }

    fn image(&self, reads: &super::Reads, image: usize) -> Option<Vec<f32>> {
        let mut read = 0;
        let mut tensors = vec![];
        for argument in &self.arguments {
            tensors.push(match argument {
                Argument::Absent => None,
                Argument::Constant(tensor) => Some(tensor.clone()),
                Argument::Computed(dtype, shape) => {
                    let len: usize = shape.iter().product();
                    let values = &reads.get(read)[image * len..][..len];
                    read += 1;
                    Some(Tensor::new(shape.clone(), typed(values, *dtype)).ok()?)
                }
            });
        }
        let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        let results = interpret::run_node(&Graph::default(), &self.node, &tensors).ok()?;
        Some(results.first()?.to_f32())
    }
}

fn typed(values: &[f32], dtype: DType) -> Data {
    match dtype {
        DType::F32 => values.to_vec().into(),
        DType::U8 => values.iter().map(|&v| v as u8).collect::<Vec<_>>().into(),
        DType::I8 => values.iter().map(|&v| v as i8).collect::<Vec<_>>().into(),
        DType::I32 => values.iter().map(|&v| v as i32).collect::<Vec<_>>().into(),
        DType::I64 => values.iter().map(|&v| v as i64).collect::<Vec<_>>().into(),
        DType::Bool => values.iter().map(|&v| v != 0.0).collect::<Vec<_>>().into(),
    }
}

impl Operator for Detached {
    fn kind(&self) -> &'static str {
        "without gradient"
    }

    fn reads_again(&self) -> bool {
        false
    }

    fn passes_gradient(&self) -> bool {
        false
    }

    fn forward(&mut self, cx: Forward, z: &mut [f32]) {
        cx.env.ctx.pool.for_each_chunk_mut(z, self.len, |image, z| {
            match self.image(cx.reads, image) {
                Some(values) => z.copy_from_slice(&values),
                // What the node cannot compute, such as a division of integers by zero, shows as a
                // loss that is no number.
                None => z.fill(f32::NAN),
            }
        });
    }

    fn backward(&mut self, _: Backward, _: Option<&mut [f32]>) {}
}
