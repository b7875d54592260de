//! What callers see: errors that say what is wrong, sessions side by side, profiles, batches.

mod common;

use std::sync::Arc;

use common::same_bits;
use edgecut_graph::{Builder, DType, Graph, Op, Shape, Tensor, Window, interpret};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Model, RuntimeError, Session, compile};
use edgecut_testkit::random_inputs;

fn net(batch: edgecut_graph::Dim) -> Graph {
    let mut b = Builder::new("net", 3);
    let x = b.input("image", [batch, 3.into(), 12.into(), 12.into()]);
    let x = b.conv(x, "stem", 24, Window::same(3, 2), 1, true).unwrap();
    let x = b.relu6(x).unwrap();
    let x = b.conv(x, "depthwise", 24, Window::same(3, 1), 24, true).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 10).unwrap();
    b.finish(&[x]).unwrap()
}

#[test]
fn wrong_inputs_are_named() {
    let plan = compile(&net("n".into()), &CompileOptions::default()).unwrap();
    let mut session = Session::new(Arc::new(plan), Arc::new(Pool::new(1)));
    let message = |result: Result<(), RuntimeError>| result.unwrap_err().to_string();
    let small = Tensor::zeros([1, 3, 12, 11]).unwrap();
    assert_eq!(
        message(session.set_input(0, &small)),
        "input 'image' is float32 [1, 3, 12, 11], expected float32 [1, 3, 12, 12]"
    );
    let bytes = Tensor::new([1, 3, 12, 12], vec![0u8; 432]).unwrap();
    assert!(message(session.set_input(0, &bytes)).contains("is uint8"));
    assert!(message(session.set_input(1, &small)).contains("no input 1"));
    assert!(session.input_u8_mut(0).is_err() && session.output_f32(1).is_err());
    assert!(matches!(session.infer(&[]), Err(RuntimeError::InputCount { found: 0, expected: 1 })));
}

#[test]
fn batches_have_plans_of_their_own_and_the_same_results() {
    let graph = net("n".into());
    let model = Model::new(graph.clone(), Arc::new(Pool::new(2)));
    let inputs = random_inputs(&graph, 3, 1);
    let together = model.session(3).unwrap().infer(&inputs).unwrap();
    assert_eq!((model.fixed_batch(), model.plan(3).unwrap().batch()), (None, 3));
    let mut one = model.session(1).unwrap();
    for (i, logits) in together[0].f32s().unwrap().chunks_exact(10).enumerate() {
        let image = &inputs[0].f32s().unwrap()[i * 432..(i + 1) * 432];
        one.input_mut(0).unwrap().copy_from_slice(image);
        one.run().unwrap();
        assert_eq!(one.output_f32(0).unwrap(), logits, "image {i}");
    }
    let fixed = Model::new(net(2.into()), Arc::new(Pool::new(1)));
    assert_eq!(fixed.fixed_batch(), Some(2));
    assert!(matches!(fixed.session(1), Err(RuntimeError::Batch { fixed: 2, asked: 1 })));
}

#[test]
fn sessions_share_a_pool_from_several_threads() {
    let graph = net(1.into());
    let model = Model::new(graph.clone(), Arc::new(Pool::new(2)));
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (model, graph) = (&model, &graph);
            scope.spawn(move || {
                let inputs = random_inputs(graph, 1, seed);
                let mut alone = Session::new(model.plan(1).unwrap(), Arc::new(Pool::new(1)));
                let expected = alone.infer(&inputs).unwrap();
                let mut session = model.session(1).unwrap();
                for _ in 0..50 {
                    assert!(same_bits(&session.infer(&inputs).unwrap()[0], &expected[0]));
                }
            });
        }
    });
}

#[test]
fn a_profile_has_a_row_for_every_step() {
    let model = Model::new(net(1.into()), Arc::new(Pool::new(1)));
    let mut session = model.session(1).unwrap();
    let profile = session.run_profiled(3).unwrap();
    let kinds: Vec<&str> = profile.steps.iter().map(|s| s.info.kind).collect();
    assert_eq!(kinds, ["layout", "conv", "depthwise", "global_average_pool", "linear"]);
    let share: f64 = profile.steps.iter().map(|s| s.share).sum();
    assert!(profile.runs == 3 && profile.total_ns > 0 && (share - 1.0).abs() < 1e-9);
    assert_eq!(session.plan().macs(), 24 * 36 * 27 + 24 * 36 * 9 + 240);
}

#[test]
fn graphs_that_cannot_run_are_refused() {
    let plan = |graph: &Graph, batch| {
        let options = CompileOptions { batch, ..CompileOptions::default() };
        compile(graph, &options).map(|_| ()).unwrap_err()
    };
    assert!(plan(&net("n".into()), 1 << 30).to_string().contains("limit"));
    let mut b = Builder::new("large", 1);
    let mut x = b.input("x", ["n".into(), 1024.into(), 1024.into()]);
    for _ in 0..2 {
        let y = b.apply("t", Op::Transpose { perm: vec![0, 2, 1] }, &[x]).unwrap();
        x = b.concat(&[x, y], 1).unwrap();
        x = b.apply("r", Op::Transpose { perm: vec![0, 2, 1] }, &[x]).unwrap();
        x = b.concat(&[x, x], 1).unwrap();
        x = b.apply("s", Op::Transpose { perm: vec![2, 0, 1] }, &[x]).unwrap();
        x = b.apply("u", Op::Transpose { perm: vec![1, 2, 0] }, &[x]).unwrap();
    }
    let large = b.finish(&[x]).unwrap();
    assert!(matches!(plan(&large, 120), RuntimeError::TooLarge { .. }));
    let mut broken = net(1.into());
    broken.nodes.swap(0, 1);
    assert!(matches!(plan(&broken, 1), RuntimeError::Graph(_)));
}

#[test]
fn tensors_without_elements_run() {
    let graph = net("n".into());
    let inputs = [Tensor::zeros([0, 3, 12, 12]).unwrap()];
    let expected = interpret::run(&graph, &inputs).unwrap();
    let options = CompileOptions { batch: 0, ..CompileOptions::default() };
    let plan = compile(&graph, &options).unwrap();
    assert!(plan.steps().is_empty());
    let mut session = Session::new(Arc::new(plan), Arc::new(Pool::new(2)));
    assert_eq!(session.infer(&inputs).unwrap(), expected);
}

#[test]
fn an_empty_graph_and_a_graph_of_constants_run() {
    let mut graph = Graph::new("constants");
    let x = graph.add_input("x", DType::F32, Shape::fixed(&[2]));
    let k = graph.add_constant("k", Tensor::vector(vec![1f32, -2.0]));
    let y = graph.add_node("relu", Op::RELU, &[Some(k)]).unwrap();
    graph.outputs = vec![y, x];
    let plan = compile(&graph, &CompileOptions::default()).unwrap();
    assert!(plan.steps().is_empty());
    let mut session = Session::new(Arc::new(plan), Arc::new(Pool::new(1)));
    let input = Tensor::vector(vec![3f32, 4.0]);
    let outputs = session.infer(std::slice::from_ref(&input)).unwrap();
    assert_eq!(outputs, [Tensor::vector(vec![1f32, 0.0]), input]);
}
