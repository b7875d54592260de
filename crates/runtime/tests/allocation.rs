//! `Session::run` allocates nothing, in float and in int8, on one thread and on two.

use std::sync::Arc;

use edgecut_graph::{Builder, Graph, Op, Tensor, Window};
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
    for graph in [float(), int8()] {
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
