//! Single operators on generated inputs: every operator, its attributes, types and shapes, from a
//! seed. They are valid by the shape rules; extents are small, so that corners are frequent.

mod arrange;
mod elementwise;
mod index;
mod norm;
mod product;
mod quantize;
mod reduce;
mod resize;
mod source;
mod window;

use edgecut_graph::{Graph, Op, Result, Shape, Tensor};
use source::Source;

/// One operator and its inputs.
#[derive(Clone, Debug)]
pub struct Case {
    /// The operator.
    pub op: Op,
    /// Its inputs, in order; `None` where an optional one is absent.
    pub inputs: Vec<Option<Tensor>>,
}

impl Case {
    fn new<const N: usize>(op: Op, inputs: [Tensor; N]) -> Case {
        Case { op, inputs: inputs.map(Some).into() }
    }

    /// A graph of this operator alone. Inputs are called `x0`, `x1`, ... by position.
    pub fn graph(&self) -> Result<Graph> {
        let mut graph = Graph::new(format!("{:?}", self.op));
        let mut ids = vec![];
        for (index, input) in self.inputs.iter().enumerate() {
            ids.push(
                input.as_ref().map(|t| {
                    graph.add_input(format!("x{index}"), t.dtype(), Shape::fixed(t.shape()))
                }),
            );
        }
        graph.add_node("y", self.op.clone(), &ids)?;
        graph.outputs = graph.nodes[0].outputs.clone();
        graph.validate()?;
        Ok(graph)
    }

    /// The inputs that are present.
    pub fn tensors(&self) -> Vec<Tensor> {
        self.inputs.iter().flatten().cloned().collect()
    }
}

/// Operators that are written together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Functions of single elements.
    Elementwise,
    /// Convolutions and pooling.
    Window,
    /// Matrix products.
    Product,
    /// Normalisations and softmax.
    Norm,
    /// Copies of elements to other positions.
    Arrange,
    /// Positions as data.
    Index,
    /// Reductions, order and running sums.
    Reduce,
    /// Resampling.
    Resize,
    /// Between float and integers.
    Quantize,
}

impl Family {
    /// Every family.
    pub const ALL: [Family; 9] = [
        Family::Elementwise,
        Family::Window,
        Family::Product,
        Family::Norm,
        Family::Arrange,
        Family::Index,
        Family::Reduce,
        Family::Resize,
        Family::Quantize,
    ];

    /// A case of this family; consecutive seeds go through its operators in turn.
    pub fn case(self, seed: u64) -> Case {
        let mut source = Source::new(seed, self as u64);
        let turn = seed as usize;
        match self {
            Family::Elementwise => elementwise::case(&mut source, turn),
            Family::Window => window::case(&mut source, turn),
            Family::Product => product::case(&mut source, turn),
            Family::Norm => norm::case(&mut source, turn),
            Family::Arrange => arrange::case(&mut source, turn),
            Family::Index => index::case(&mut source, turn),
            Family::Reduce => reduce::case(&mut source, turn),
            Family::Resize => resize::case(&mut source, turn),
            Family::Quantize => quantize::case(&mut source, turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_valid_and_a_function_of_its_seed() {
        for family in Family::ALL {
            for seed in 0..400 {
                let case = family.case(seed);
                let graph = case.graph().unwrap_or_else(|e| panic!("{family:?} {seed}: {e}"));
                assert_eq!(graph.nodes[0].op, family.case(seed).op);
                edgecut_graph::interpret::run(&graph, &case.tensors())
                    .unwrap_or_else(|e| panic!("{family:?} {seed}: {e}"));
            }
        }
    }
}
