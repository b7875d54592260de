//! Activations in the spellings of exporters, and near misses.

use edgecut_graph::{Binary::*, Graph, Op, Result, Tensor, Unary, ValueId, passes};

use crate::{Sketch, check};

type Spelling = fn(&mut Sketch, ValueId) -> ValueId;
type Rewrite = fn(&mut Graph) -> Result<usize>;

const CLIP6: Unary = Unary::Clip { min: 0.0, max: 6.0 };

/// Each spelling becomes one node of this function.
fn all_become(pass: Rewrite, function: Unary, spellings: &[Spelling]) {
    for (i, spell) in spellings.iter().enumerate() {
        let (mut s, x) = Sketch::new(&format!("{function:?} {i}"), &[40]);
        let y = spell(&mut s, x);
        let (count, rewritten) = check(&s.finish(y), pass, 1e-6);
        assert_eq!(count, 1, "{function:?} {i}");
        assert_eq!(rewritten.nodes.len(), 1, "{function:?} {i}");
        assert_eq!(rewritten.nodes[0].op, Op::Unary(function), "{function:?} {i}");
    }
}

fn all_stay(pass: Rewrite, spellings: &[Spelling]) {
    for (i, spell) in spellings.iter().enumerate() {
        let (mut s, x) = Sketch::new(&format!("near miss {i}"), &[40]);
        let y = spell(&mut s, x);
        assert_eq!(check(&s.finish(y), pass, 0.0).0, 0, "near miss {i}");
    }
}

fn gate6(s: &mut Sketch, x: ValueId) -> ValueId {
    let y = s.with(Add, x, 3.0);
    s.unary(CLIP6, y)
}

#[test]
fn hard_swish() {
    let sixth = Unary::HardSigmoid { alpha: 0.166_666_67, beta: 0.5 };
    assert_eq!(sixth, Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 });
    all_become(
        passes::hard_swish,
        Unary::HardSwish,
        &[
            // PyTorch before opset 14, and the one after.
            |s, x| {
                let g = gate6(s, x);
                let g = s.with(Div, g, 6.0);
                s.binary(Mul, x, g)
            },
            |s, x| {
                let g = s.unary(Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, x);
                s.binary(Mul, x, g)
            },
            // PaddlePaddle multiplies first, Keras by a sixth.
            |s, x| {
                let g = gate6(s, x);
                let y = s.binary(Mul, x, g);
                s.with(Div, y, 6.0)
            },
            |s, x| {
                let g = gate6(s, x);
                let g = s.with(Mul, g, 0.166_666_67);
                s.binary(Mul, g, x)
            },
            |s, x| {
                let three = s.number(3.0);
                let g = s.binary(Add, three, x);
                let g = s.unary(CLIP6, g);
                let y = s.binary(Mul, g, x);
                s.with(Mul, y, 0.166_666_67)
            },
            |s, x| {
                let g = s.with(Mul, x, 1.0 / 6.0);
                let g = s.with(Add, g, 0.5);
                let g = s.unary(Unary::Clip { min: 0.0, max: 1.0 }, g);
                s.binary(Mul, x, g)
            },
        ],
    );
    all_stay(
        passes::hard_swish,
        &[
            // The default slope, another offset, another value, a bare gate.
            |s, x| {
                let g = s.unary(Unary::HardSigmoid { alpha: 0.2, beta: 0.5 }, x);
                s.binary(Mul, x, g)
            },
            |s, x| {
                let g = s.with(Add, x, 2.0);
                let g = s.unary(CLIP6, g);
                let y = s.binary(Mul, x, g);
                s.with(Div, y, 6.0)
            },
            |s, x| {
                let other = s.unary(Unary::Abs, x);
                let g = gate6(s, other);
                let y = s.binary(Mul, x, g);
                s.with(Div, y, 6.0)
            },
            |s, x| {
                let g = gate6(s, x);
                s.binary(Mul, x, g)
            },
        ],
    );
}

#[test]
fn a_gate_with_other_readers_stays() {
    let (mut s, x) = Sketch::new("shared gate", &[40]);
    let g = gate6(&mut s, x);
    let y = s.binary(Mul, x, g);
    let y = s.with(Div, y, 6.0);
    let y = s.binary(Add, y, g);
    let graph = s.finish(y);
    assert_eq!(check(&graph, passes::hard_swish, 0.0).0, 0);
    assert_eq!(check(&graph, passes::hard_sigmoid, 0.0).0, 0);
}

#[test]
fn hard_sigmoid() {
    all_become(
        passes::hard_sigmoid,
        Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
        &[
            |s, x| {
                let g = gate6(s, x);
                s.with(Div, g, 6.0)
            },
            |s, x| {
                let g = gate6(s, x);
                s.with(Mul, g, 0.166_666_67)
            },
            |s, x| {
                let g = s.with(Div, x, 6.0);
                let g = s.with(Add, g, 0.5);
                s.unary(Unary::Clip { min: 0.0, max: 1.0 }, g)
            },
        ],
    );
    all_become(
        passes::hard_sigmoid,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        &[|s, x| {
            let g = s.with(Mul, x, 0.2);
            let g = s.with(Add, g, 0.5);
            s.unary(Unary::Clip { min: 0.0, max: 1.0 }, g)
        }],
    );
    all_stay(
        passes::hard_sigmoid,
        &[
            |s, x| {
                let g = gate6(s, x);
                s.with(Div, g, 5.0)
            },
            |s, x| {
                let g = s.unary(CLIP6, x);
                s.with(Div, g, 6.0)
            },
            gate6,
        ],
    );
}

#[test]
fn silu_and_mish() {
    all_become(
        passes::silu,
        Unary::Silu,
        &[
            |s, x| {
                let g = s.unary(Unary::Sigmoid, x);
                s.binary(Mul, x, g)
            },
            |s, x| {
                let g = s.unary(Unary::Sigmoid, x);
                s.binary(Mul, g, x)
            },
        ],
    );
    all_become(
        passes::mish,
        Unary::Mish,
        &[|s, x| {
            let g = s.unary(Unary::Softplus, x);
            let g = s.unary(Unary::Tanh, g);
            s.binary(Mul, x, g)
        }],
    );
    all_stay(
        passes::silu,
        &[|s, x| {
            let g = s.with(Mul, x, 1.702);
            let g = s.unary(Unary::Sigmoid, g);
            s.binary(Mul, x, g)
        }],
    );
}

fn erf_gate(s: &mut Sketch, x: ValueId) -> ValueId {
    let e = s.with(Div, x, std::f32::consts::SQRT_2);
    let e = s.unary(Unary::Erf, e);
    s.with(Add, e, 1.0)
}

#[test]
fn gelu() {
    all_become(
        passes::gelu,
        Unary::Gelu { tanh: false },
        &[
            |s, x| {
                let g = erf_gate(s, x);
                let y = s.binary(Mul, x, g);
                s.with(Mul, y, 0.5)
            },
            |s, x| {
                let half = s.with(Mul, x, 0.5);
                let g = erf_gate(s, x);
                s.binary(Mul, half, g)
            },
            |s, x| {
                let e = s.with(Mul, x, std::f32::consts::FRAC_1_SQRT_2);
                let e = s.unary(Unary::Erf, e);
                let e = s.with(Mul, e, 0.5);
                let e = s.with(Add, e, 0.5);
                s.binary(Mul, e, x)
            },
        ],
    );
    all_become(
        passes::gelu,
        Unary::Gelu { tanh: true },
        &[
            |s, x| {
                let cube = s.with(Pow, x, 3.0);
                let cube = s.with(Mul, cube, 0.044715);
                let sum = s.binary(Add, x, cube);
                let t = s.with(Mul, sum, 0.797_884_6);
                let t = s.unary(Unary::Tanh, t);
                let t = s.with(Add, t, 1.0);
                let half = s.with(Mul, x, 0.5);
                s.binary(Mul, half, t)
            },
            |s, x| {
                let square = s.binary(Mul, x, x);
                let square = s.with(Mul, square, 0.044715);
                let square = s.with(Add, square, 1.0);
                let t = s.with(Mul, x, 0.797_884_6);
                let t = s.binary(Mul, t, square);
                let t = s.unary(Unary::Tanh, t);
                let t = s.with(Add, t, 1.0);
                let y = s.binary(Mul, x, t);
                s.with(Mul, y, 0.5)
            },
        ],
    );
    all_stay(
        passes::gelu,
        &[|s, x| {
            let g = erf_gate(s, x);
            s.binary(Mul, x, g)
        }],
    );
}

#[test]
fn clamps() {
    all_become(
        passes::clamps,
        Unary::Relu,
        &[
            |s, x| s.with(Max, x, 0.0),
            |s, x| s.unary(Unary::Clip { min: 0.0, max: f32::INFINITY }, x),
            |s, x| {
                let y = s.unary(Unary::Relu, x);
                s.unary(Unary::Relu, y)
            },
        ],
    );
    all_become(
        passes::clamps,
        CLIP6,
        &[
            |s, x| {
                let y = s.unary(Unary::Relu, x);
                s.with(Min, y, 6.0)
            },
            |s, x| {
                let y = s.unary(Unary::Clip { min: -1.0, max: 6.0 }, x);
                s.unary(Unary::Clip { min: 0.0, max: 8.0 }, y)
            },
        ],
    );
    // Bounds out of order make a constant, whatever comes before.
    all_stay(
        passes::clamps,
        &[|s, x| {
            let y = s.unary(Unary::Clip { min: 0.5, max: 0.2 }, x);
            s.unary(Unary::Clip { min: 0.0, max: 0.1 }, y)
        }],
    );
}

#[test]
fn clamps_of_integers_stay() {
    let mut graph = Graph::new("integers");
    let shape = edgecut_graph::Shape::fixed(&[4]);
    let x = graph.add_input("x", edgecut_graph::DType::I64, shape);
    let zero = graph.add_constant("zero", Tensor::vector(vec![0i64]));
    let Ok(y) = graph.add_node("y", Op::Binary(Max), &[Some(x), Some(zero)]) else { return };
    graph.outputs = vec![y];
    assert_eq!(passes::clamps(&mut graph).unwrap(), 0);
}

#[test]
fn leaky_relu() {
    all_become(
        passes::leaky_relu,
        Unary::LeakyRelu { alpha: 0.25 },
        &[
            |s, x| {
                let y = s.with(Mul, x, 0.25);
                s.binary(Max, x, y)
            },
            |s, x| s.with(PRelu, x, 0.25),
        ],
    );
    all_stay(
        passes::leaky_relu,
        &[
            |s, x| {
                let y = s.with(Mul, x, 1.5);
                s.binary(Max, x, y)
            },
            |s, x| {
                let slope = s.0.constant("slope", Tensor::vector(vec![0.25f32; 40]));
                s.binary(PRelu, x, slope)
            },
        ],
    );
}
