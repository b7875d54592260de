//! Networks of arbitrary operators: generated cases one after another.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Cut, DType, Graph, Op, ReshapeDim, Result, Shape, Tensor, ValueId};

use crate::{Case, Family};

/// A graph of `count` generated cases of all families, and its inputs. Each case's first input, if
/// float32, is made of the result of the case before it: cut or repeated to the number of
/// elements, in its shape. The other inputs are the case's own, as constants or graph inputs. The
/// graph returns the last result, and some on the way.
pub fn random_chain(seed: u64, count: usize) -> (Graph, Vec<Tensor>) {
    let mut chain = Chain {
        graph: Graph::new(format!("chain {seed}")),
        inputs: vec![],
        rng: Rng::keyed(&[seed, 0x6368_6169]),
    };
    let mut last = None;
    for index in 0..count {
        let family = Family::ALL[chain.rng.below(Family::ALL.len())];
        let case = family.case(chain.rng.next_u64() % 100_000);
        let made = chain.add(index, &case, last);
        last = Some(made.unwrap_or_else(|e| panic!("chain {seed}, case {index}: {e}")));
        if chain.rng.below(4) == 0 {
            chain.graph.outputs.extend(last);
        }
    }
    let last = last.expect("at least one case");
    if !chain.graph.is_output(last) {
        chain.graph.outputs.push(last);
    }
    chain.graph.remove_unused();
    (chain.graph, chain.inputs)
}

struct Chain {
    graph: Graph,
    inputs: Vec<Tensor>,
    rng: Rng,
}

impl Chain {
    fn add(&mut self, index: usize, case: &Case, last: Option<ValueId>) -> Result<ValueId> {
        let mut ids = Vec::with_capacity(case.inputs.len());
        for (position, tensor) in case.inputs.iter().enumerate() {
            let Some(tensor) = tensor else {
                ids.push(None);
                continue;
            };
            let name = format!("case{index}_{position}");
            let before = last.filter(|&id| {
                let elements = self.graph.value(id).shape.len_with(1, &name);
                position == 0 && tensor.dtype() == DType::F32 && elements.is_ok_and(|n| n > 0)
            });
            ids.push(Some(match before {
                Some(before) if !tensor.is_empty() => self.adapt(&name, before, tensor.shape())?,
                _ if position > 0 && self.rng.below(2) == 0 => {
                    self.graph.add_constant(name, tensor.clone())
                }
                _ => {
                    self.inputs.push(tensor.clone());
                    self.graph.add_input(name, tensor.dtype(), Shape::fixed(tensor.shape()))
                }
            }));
        }
        self.graph.add_node(format!("case{index}"), case.op.clone(), &ids)
    }

    /// The elements of `from`, as float32 of this shape.
    fn adapt(&mut self, name: &str, from: ValueId, shape: &[usize]) -> Result<ValueId> {
        let mut x = from;
        let mut next = |graph: &mut Graph, part: &str, op| {
            x = graph.add_node(format!("{name}_{part}"), op, &[Some(x)])?;
            Ok::<_, edgecut_graph::GraphError>(x)
        };
        if self.graph.value(from).dtype != DType::F32 {
            next(&mut self.graph, "cast", Op::Cast { to: DType::F32 })?;
        }
        let have = self.graph.value(from).shape.len_with(1, name)?;
        let need: usize = shape.iter().product();
        next(&mut self.graph, "flat", Op::Reshape { dims: vec![ReshapeDim::Infer] })?;
        if have < need {
            next(&mut self.graph, "tile", Op::Tile { repeats: vec![need.div_ceil(have)] })?;
        }
        let cuts = vec![Cut { axis: 0, start: 0, len: need, step: 1 }];
        next(&mut self.graph, "cut", Op::Slice { cuts })?;
        let dims = shape.iter().map(|&d| ReshapeDim::Fixed(d)).collect();
        next(&mut self.graph, "shape", Op::Reshape { dims })
    }
}
