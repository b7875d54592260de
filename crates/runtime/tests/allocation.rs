//! `Session::run` allocates nothing, in float and in int8, on one thread and on two.

use std::sync::Arc;

use edgecut_graph::{
    Binary, Builder, ConvTranspose, Coordinates, Graph, Op, PadMode, Reduction, Resize, ResizeAxis,
    ResizeMode, Tensor, Unary, Window,
};
use edgecut_kernels::Pool;
use edgecut_kernels::counting::CountingAllocator;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_testkit::random_inputs;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator::new();

fn float() -> Graph {
    let mut b = Builder::new("float", 1);
    let x = b.input("x", [2.into(), 3.into(), 20.into(), 20.into()]);
    let x = b.conv(x, "stem", 16, Window::same(3, 2), 1, false).unwrap();
    let x = b.batch_norm(x, "n").unwrap();
    let x = b.relu6(x).unwrap();
    let y = b.conv(x, "depthwise", 16, Window::same(3, 1), 16, true).unwrap();
    let y = b.conv(y, "project", 16, Window::same(1, 1), 1, true).unwrap();
    let x = b.add(x, y).unwrap();
    let x = b.max_pool(x, Window::new([2, 2], [2, 2])).unwrap();
    let y = b.conv(x, "grouped", 16, Window::same(3, 1), 4, true).unwrap();
    let x = b.concat(&[x, y, x], 1).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 10).unwrap();
    let x = b.apply("softmax", Op::Softmax { axis: 1 }, &[x]).unwrap();
    b.finish(&[x]).unwrap()
}

/// The steps of detectors and of attention.
fn others() -> Graph {
    let mut b = Builder::new("others", 1);
    let x = b.input("x", [2.into(), 8.into(), 6.into(), 6.into()]);
    let weights = b.constant("weights", Tensor::zeros([8, 4, 2, 2]).unwrap());
    let bias = b.constant("bias", Tensor::zeros([4]).unwrap());
    let window = Window::new([2, 2], [2, 2]);
    let up = ConvTranspose { window, groups: 1, output_padding: [0, 0] };
    let x = b.apply("up", Op::ConvTranspose(up), &[x, weights, bias]).unwrap();
    let x = b.apply("gelu", Op::Unary(Unary::Gelu { tanh: false }), &[x]).unwrap();
    let (before, after) = (vec![0, 0, 1, 1], vec![0, 0, 1, 1]);
    let x = b.apply("pad", Op::Pad { before, after, mode: PadMode::Reflect }, &[x]).unwrap();
    let x = b.apply("shuffle", Op::ChannelShuffle { groups: 2 }, &[x]).unwrap();
    let axis = |axis| ResizeAxis { axis, len: 21, scale: 1.5, region: (0.0, 1.0) };
    let resize = Resize {
        axes: vec![axis(2), axis(3)],
        mode: ResizeMode::Linear,
        coordinates: Coordinates::HalfPixel,
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0,
    };
    let x = b.apply("resize", Op::Resize(resize), &[x]).unwrap();
    let gate = Op::Reduce { kind: Reduction::Max, axes: vec![2, 3], keep_dims: true };
    let gate = b.apply("gate", gate, &[x]).unwrap();
    let x = b.apply("mul", Op::Binary(Binary::Mul), &[x, gate]).unwrap();
    let x = b.apply("turn", Op::Transpose { perm: vec![0, 2, 3, 1] }, &[x]).unwrap();
    let scale = b.constant("scale", Tensor::zeros([4]).unwrap());
    let x = b.apply("norm", Op::LayerNorm { axis: 3, epsilon: 1e-5 }, &[x, scale]).unwrap();
    let y = b.apply("back", Op::Transpose { perm: vec![0, 1, 3, 2] }, &[x]).unwrap();
    let x = b.apply("scores", Op::MatMul, &[x, y]).unwrap();
    let x = b.apply("softmax", Op::Softmax { axis: 2 }, &[x]).unwrap();
    b.finish(&[x]).unwrap()
}

/// As [`float`], with a quantised section.
fn int8() -> Graph {
    let mut b = Builder::new("int8", 1);
    let x = b.input("x", [2.into(), 8.into(), 9.into(), 9.into()]);
    let scale = b.constant("scale", Tensor::scalar(0.05));
    let zero = b.constant("zero", Tensor::new([], vec![120u8]).unwrap());
    let requantise = |b: &mut Builder, x, name: &str| {
        let q = b.apply(&format!("{name}.q"), Op::Quantize { axis: 1 }, &[x, scale, zero]).unwrap();
        b.apply(&format!("{name}.d"), Op::Dequantize { axis: 1 }, &[q, scale, zero]).unwrap()
    };
    let x = requantise(&mut b, x, "x");
    let codes: Vec<i8> = (0..8 * 8 * 9).map(|i| (i * 37 % 255 - 127) as i8).collect();
    let codes = b.constant("w", Tensor::new([8, 8, 3, 3], codes).unwrap());
    let w_scale = b.constant("w_scale", Tensor::scalar(0.004));
    let w = b.apply("w.d", Op::Dequantize { axis: 0 }, &[codes, w_scale]).unwrap();
    let conv = edgecut_graph::Conv { window: Window::same(3, 1), groups: 1 };
    let y = b.apply("conv", Op::Conv(conv), &[x, w]).unwrap();
    let y = requantise(&mut b, y, "y");
    let y = b.add(x, y).unwrap();
    let y = requantise(&mut b, y, "sum");
    let y = b.global_average_pool(y).unwrap();
    let y = requantise(&mut b, y, "mean");
    b.finish(&[y]).unwrap()
}

#[test]
fn a_run_allocates_nothing() {
    for graph in [float(), others(), int8()] {
        for threads in [1, 2] {
            let plan = Arc::new(compile(&graph, &CompileOptions::default()).unwrap());
            assert!(plan.steps().iter().all(|s| s.kind != "reference"));
            let mut session = Session::new(plan, Arc::new(Pool::new(threads)));
            session.infer(&random_inputs(&graph, 2, 1)).unwrap();
            // The harness's own thread allocates once in a while: an allocation of a run would
            // show in every round.
            let round = || {
                let before = ALLOCATOR.count();
                (0..100).for_each(|_| session.run().unwrap());
                ALLOCATOR.count() - before
            };
            let count = std::iter::repeat_with(round).take(3).min().unwrap();
            assert_eq!(count, 0, "{} on {threads} threads", graph.name);
        }
    }
}
