//! One small graph for every operator and every attribute that changes what it does.
//!
//! The list is what "every operator" means to a test: it is complete and always the same, where
//! the cases of `operators` are generated. `numbers` draws tensors, the other files hold the operators of a family.

mod activations;
mod arithmetic;
mod arrange;
mod index;
mod integers;
mod norm;
mod numbers;
mod products;
mod reduce;
mod resize;
mod window;

use edgecut_graph::{DType, Graph, Op, Shape, Tensor};

/// A graph with one node, and inputs for it.
#[derive(Clone, Debug)]
pub struct OperatorCase {
    /// Name of the graph: the operator, and what is special.
    pub name: String,
    /// The graph.
    pub graph: Graph,
    /// One tensor for each input of the graph.
    pub inputs: Vec<Tensor>,
}

/// All cases. Names are unique.
pub fn operator_cases() -> Vec<OperatorCase> {
    let mut table = Table::default();
    window::add(&mut table);
    products::add(&mut table);
    activations::add(&mut table);
    arithmetic::add(&mut table);
    norm::add(&mut table);
    reduce::add(&mut table);
    arrange::add(&mut table);
    index::add(&mut table);
    resize::add(&mut table);
    integers::add(&mut table);
    table.cases
}

/// What an operator reads.
enum Arg {
    /// An input of the graph.
    Given(Tensor),
    /// A constant.
    Stored(Tensor),
    /// An optional input that is left out.
    Absent,
}

use Arg::{Absent, Given, Stored};

#[derive(Default)]
struct Table {
    cases: Vec<OperatorCase>,
}

impl Table {
    /// Adds a case whose graph returns all outputs of the operator.
    fn add(&mut self, what: &str, op: Op, args: Vec<Arg>) {
        let name = format!("{} {what}", op.name()).trim_end().to_string();
        let mut graph = Graph::new(name.clone());
        let mut inputs = vec![];
        let mut ids = vec![];
        for (index, arg) in args.into_iter().enumerate() {
            ids.push(match arg {
                Given(tensor) => {
                    let (dtype, shape) = (tensor.dtype(), Shape::fixed(tensor.shape()));
                    inputs.push(tensor);
                    Some(graph.add_input(format!("in{index}"), dtype, shape))
                }
                Stored(tensor) => Some(graph.add_constant(format!("stored{index}"), tensor)),
                Absent => None,
            });
        }
        let made = graph.add_node("node", op, &ids);
        made.unwrap_or_else(|e| panic!("{name}: {e}"));
        graph.outputs = graph.nodes[0].outputs.clone();
        self.cases.push(OperatorCase { name, graph, inputs });
    }

    /// Adds a case of one input.
    fn one(&mut self, what: &str, op: Op, x: Tensor) {
        self.add(what, op, vec![Given(x)]);
    }
}

/// What a case is called after a type.
fn of(dtype: DType) -> String {
    dtype.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn cases_run_and_have_names_of_their_own() {
        let cases = operator_cases();
        let mut names = BTreeSet::new();
        for case in &cases {
            assert!(names.insert(&case.name), "{} twice", case.name);
            case.graph.validate().unwrap();
            let outputs = edgecut_graph::interpret::run(&case.graph, &case.inputs);
            let outputs = outputs.unwrap_or_else(|e| panic!("{}: {e}", case.name));
            assert_eq!(outputs.len(), case.graph.outputs.len());
        }
    }

    /// Names of operators, and of functions among them, with a case.
    #[test]
    fn every_operator_has_a_case() {
        let names: BTreeSet<&str> =
            operator_cases().iter().map(|c| c.graph.nodes[0].op.name()).collect();
        let source = include_str!("../../../graph/src/op/names.rs");
        for name in source.split('"').skip(1).step_by(2) {
            assert!(names.contains(name), "{name} has no case");
        }
    }
}
