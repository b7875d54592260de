//! Networks compiled for bfloat16: close to float32, the same on any number of threads, smaller.

use std::sync::Arc;

use edgecut_graph::{Builder, Graph, Tensor, Window};
use edgecut_kernels::{Isa, Pool};
use edgecut_runtime::{CompileOptions, Model, Plan, Precision, Session, compile};

/// An inverted residual between a first convolution and a classifier, and a grouped convolution.
fn net() -> Graph {
    let mut b = Builder::new("net", 3);
    let x = b.input("x", ["n".into(), 3.into(), 17.into(), 19.into()]);
    let x = b.conv(x, "stem", 16, Window::same(3, 2), 1, false).unwrap();
    let x = b.relu6(x).unwrap();
    let y = b.conv(x, "expand", 96, Window::same(1, 1), 1, false).unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "filter", 96, Window::same(3, 1), 96, false).unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "project", 16, Window::same(1, 1), 1, true).unwrap();
    let x = b.add(x, y).unwrap();
    let x = b.conv(x, "window", 24, Window::same(3, 2), 2, true).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 10).unwrap();
    b.finish(&[x]).unwrap()
}

fn plan(graph: &Graph, batch: usize, isa: Isa, precision: Precision) -> Arc<Plan> {
    Arc::new(compile(graph, &CompileOptions { batch, isa, precision, tuner: None }).unwrap())
}

fn noise(batch: usize) -> Tensor {
    let len = batch * 3 * 17 * 19;
    let data: Vec<f32> = (0..len).map(|i| (i * 7919 % 2027) as f32 / 1013.5 - 1.0).collect();
    Tensor::new([batch, 3, 17, 19], data).unwrap()
}

fn infer(plan: &Arc<Plan>, threads: usize, x: &Tensor) -> Vec<f32> {
    let mut session = Session::new(plan.clone(), Arc::new(Pool::new(threads)));
    session.infer(std::slice::from_ref(x)).unwrap()[0].f32s().unwrap().to_vec()
}

#[test]
fn results_are_close_to_float32_and_do_not_depend_on_threads() {
    let graph = net();
    for batch in [1, 3] {
        let x = noise(batch);
        let exact = infer(&plan(&graph, batch, Isa::SCALAR, Precision::F32), 1, &x);
        let largest = exact.iter().fold(0.0f32, |m, y| m.max(y.abs()));
        for isa in Isa::available() {
            let plan = plan(&graph, batch, isa, Precision::Bf16);
            let first = infer(&plan, 1, &x);
            assert!((2..4).all(|threads| infer(&plan, threads, &x) == first), "{}", isa.name());
            let error = first.iter().zip(&exact).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
            // Five layers of operands rounded to 8 bits: 2^-9 each way.
            assert!(error < 0.02 * largest, "{}: {error} of {largest}", isa.name());
            assert!(error > 0.0, "{}: nothing was rounded", isa.name());
        }
    }
}

#[test]
fn products_are_bfloat16_and_the_rest_float32() {
    let graph = net();
    let of = |precision| plan(&graph, 1, Isa::detect(), precision);
    let (float, half) = (of(Precision::F32), of(Precision::Bf16));
    let kinds: Vec<&str> = half.steps().iter().map(|step| &*step.kind).collect();
    assert!(kinds.contains(&"linear.bf16"), "{kinds:?}");
    assert_ne!(half.weight_bytes(), float.weight_bytes());
    let model = Model::new(graph, Arc::new(Pool::new(1))).with_precision(Precision::Bf16);
    assert_eq!(model.plan(1).unwrap().weight_bytes(), half.weight_bytes());
}

/// Products are packed in blocks of 32, which few channels do not fill: enough of them are halved.
#[test]
fn weights_take_half_the_memory() {
    let mut b = Builder::new("wide", 3);
    let x = b.input("x", [1.into(), 256.into(), 4.into(), 4.into()]);
    let x = b.conv(x, "pointwise", 512, Window::same(1, 1), 1, false).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let of = |precision| plan(&graph, 1, Isa::detect(), precision).weight_bytes();
    let (float, half) = (of(Precision::F32), of(Precision::Bf16));
    assert!(2 * half <= float + 4096, "{half} of {float} bytes");
}
