//! Every pass against the graph it rewrote, through the reference interpreter.

mod activations;
mod canonical;
mod exports;
mod folding;
mod operators;
mod quantised;
mod shapes;

use edgecut_graph::{Binary, Builder, Graph, Op, Result, Tensor, Unary, ValueId, passes};

/// Applies `pass` and checks that names and results of the outputs stay, and that once is enough.
/// `tolerance` is that of [`assert_same`]. Returns how often it applied, and the new graph.
pub fn check(
    graph: &Graph,
    pass: fn(&mut Graph) -> Result<usize>,
    tolerance: f64,
) -> (usize, Graph) {
    let mut rewritten = graph.clone();
    let count = pass(&mut rewritten).unwrap();
    assert_same(graph, &rewritten, tolerance);
    assert_eq!(pass(&mut rewritten.clone()).unwrap(), 0, "{}: idempotent", graph.name);
    (count, rewritten)
}

/// Checks that both graphs have the same inputs and outputs and compute the same. `tolerance` is
/// relative to the largest magnitude of an output or to 1, whichever is larger: inputs and weights
/// are of that size, and so is the rounding of terms that nearly cancel in a sum.
pub fn assert_same(graph: &Graph, rewritten: &Graph, tolerance: f64) {
    rewritten.validate().unwrap();
    let names = |g: &Graph, ids: &[ValueId]| -> Vec<String> {
        ids.iter().map(|&id| g.value(id).name.clone()).collect()
    };
    assert_eq!(names(graph, &graph.inputs), names(rewritten, &rewritten.inputs));
    assert_eq!(names(graph, &graph.outputs), names(rewritten, &rewritten.outputs));
    let difference = passes::check(graph, rewritten, 9, 1).unwrap();
    let beside_terms = difference.max_rel.min(difference.max_abs);
    assert!(beside_terms <= tolerance, "{}: {difference:?}", graph.name);
}

/// How many nodes of this ONNX operator a graph has.
pub fn count(graph: &Graph, name: &str) -> usize {
    graph.nodes.iter().filter(|n| n.op.name() == name).count()
}

/// Names of the operators, in order.
pub fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|n| n.op.name()).collect()
}

/// A builder with short words for formulas.
pub struct Sketch(
    /// What it draws with.
    pub Builder,
);

impl Sketch {
    /// A graph with one input `x` of this shape and batch `n`.
    pub fn new(name: &str, inner: &[usize]) -> (Sketch, ValueId) {
        let mut b = Builder::new(name, 1);
        let mut dims = vec!["n".into()];
        dims.extend(inner.iter().map(|&d| d.into()));
        let x = b.input("x", dims);
        (Sketch(b), x)
    }

    /// A stored number.
    pub fn number(&mut self, value: f32) -> ValueId {
        let name = self.0.graph().unique_name("number");
        self.0.constant(&name, Tensor::scalar(value))
    }

    /// Any operator.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        self.0.apply("op", op, inputs).unwrap()
    }

    /// A function of two values.
    pub fn binary(&mut self, function: Binary, a: ValueId, b: ValueId) -> ValueId {
        self.op(Op::Binary(function), &[a, b])
    }

    /// A value and a number.
    pub fn with(&mut self, function: Binary, x: ValueId, number: f32) -> ValueId {
        let number = self.number(number);
        self.binary(function, x, number)
    }

    /// A function of one value.
    pub fn unary(&mut self, function: Unary, x: ValueId) -> ValueId {
        self.op(Op::Unary(function), &[x])
    }

    /// The graph, which returns this value.
    pub fn finish(self, output: ValueId) -> Graph {
        self.0.finish(&[output]).unwrap()
    }
}
