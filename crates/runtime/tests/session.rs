//! What callers see: errors that say what is wrong, sessions side by side, profiles, batches.

mod common;

use std::sync::Arc;

use common::same_bits;
use edgecut_graph::{Builder, DType, Graph, Op, Shape, Tensor, Window, interpret};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, MAX_PLANS, Model, RuntimeError, Session, compile};
use edgecut_testkit::{random_inputs, random_tensor};

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

/// `concat(relu(a), b)` of images of any size.
fn open_net() -> Graph {
    let mut b = Builder::new("open", 1);
    let x = b.input("a", ["n".into(), 3.into(), "h".into(), "w".into()]);
    let y = b.input("b", ["n".into(), 2.into(), "h".into(), "w".into()]);
    let x = b.relu(x).unwrap();
    let z = b.concat(&[x, y], 1).unwrap();
    b.finish(&[z]).unwrap()
}

#[test]
fn shapes_have_plans_of_their_own() {
    let bytes = edgecut_graph::onnx::to_bytes(&open_net()).unwrap();
    let template = edgecut_graph::onnx::Template::from_bytes("open", &bytes).unwrap();
    let pool = Arc::new(Pool::new(2));
    for model in [Model::new(open_net(), pool.clone()), Model::from_template(template, pool)] {
        for [n, h, w] in [[1, 4, 6], [2, 3, 5], [1, 4, 6], [0, 3, 5], [1, 1, 1]] {
            let inputs = [random_tensor(&[n, 3, h, w], 1), random_tensor(&[n, 2, h, w], 2)];
            let expected = interpret::run(&open_net(), &inputs).unwrap();
            assert_eq!(model.infer(&inputs).unwrap(), expected);
        }
        assert_eq!(model.plan_count(), 4);
        let shapes = |h: usize| [vec![1, 3, h, 6], vec![1, 2, h, 6]];
        let first = model.plan_for(&shapes(4)).unwrap();
        assert!(Arc::ptr_eq(&first, &model.plan_for(&shapes(4)).unwrap()));
        for h in 10..10 + MAX_PLANS {
            model.plan_for(&shapes(h)).unwrap();
        }
        assert_eq!(model.plan_count(), MAX_PLANS);
        assert!(!Arc::ptr_eq(&first, &model.plan_for(&shapes(4)).unwrap()), "pushed out");
        let refusal = |shapes: &[Vec<usize>]| model.plan_for(shapes).unwrap_err().to_string();
        assert_eq!(
            refusal(&[vec![1, 3, 4, 6], vec![1, 2, 4, 7]]),
            "input 'b' is declared [n, 2, h, w] (n = 1, h = 4, w = 6), cannot be [1, 2, 4, 7]"
        );
        assert!(refusal(&[vec![1, 4, 4, 6], vec![1, 2, 4, 6]]).starts_with("input 'a'"));
        assert!(refusal(&[vec![1, 3, 4], vec![1, 2, 4, 6]]).starts_with("input 'a'"));
        assert_eq!(model.plan_count(), MAX_PLANS, "refusals push out nothing");
        assert!(matches!(model.plan_for(&[]), Err(RuntimeError::InputCount { .. })));
        assert!(matches!(model.plan(1), Err(RuntimeError::OpenShape { .. })));
        assert!(
            model.plan_for(&[vec![1, 3, 1 << 20, 1 << 20], vec![1, 2, 1 << 20, 1 << 20]]).is_err()
        );
    }
}

#[test]
fn threads_that_ask_for_one_shape_get_one_plan() {
    let model = Model::new(net("n".into()), Arc::new(Pool::new(1)));
    let plans: Vec<_> = std::thread::scope(|scope| {
        let ask = |batch| {
            let model = &model;
            scope.spawn(move || model.plan(batch).unwrap())
        };
        let threads: Vec<_> = [1, 2, 1, 2, 1, 2].map(ask).into_iter().collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for i in 2..6 {
        assert!(Arc::ptr_eq(&plans[i], &plans[i % 2]));
    }
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
    let kinds: Vec<&str> = profile.steps.iter().map(|s| &*s.info.kind).collect();
    assert_eq!(kinds, ["conv", "depthwise", "global_average_pool", "linear"]);
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
