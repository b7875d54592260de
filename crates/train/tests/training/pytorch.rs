//! Steps of SGD against PyTorch, in float64 and float32, on a net of every kind of layer that a
//! MobileNetV2 has.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Graph, Tensor, Window};
use edgecut_kernels::{Isa, Pool};
use edgecut_testkit::{Python, assert_close, randomise_statistics};
use edgecut_train::Optimizer;
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::params::Kind;
use edgecut_train::plan::TrainPlan;

const BATCH: usize = 16;
const SIDE: usize = 12;
const STEPS: usize = 3;
const LR: f32 = 0.1;
const MOMENTUM: f32 = 0.9;
const DECAY: f32 = 0.01;
const SMOOTHING: f32 = 0.1;

fn network() -> Graph {
    let mut b = Builder::new("peer", 7);
    let x = b.input("image", ["n".into(), 3.into(), SIDE.into(), SIDE.into()]);
    let x = b.conv(x, "stem", 8, Window::same(3, 2), 1, false).unwrap();
    let x = b.batch_norm(x, "stem_bn").unwrap();
    let x = b.relu6(x).unwrap();
    let y = b.conv(x, "expand", 24, Window::new([1, 1], [1, 1]), 1, false).unwrap();
    let y = b.batch_norm(y, "expand_bn").unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "depthwise", 24, Window::same(3, 1), 24, false).unwrap();
    let y = b.batch_norm(y, "depthwise_bn").unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "project", 8, Window::new([1, 1], [1, 1]), 1, false).unwrap();
    let y = b.batch_norm(y, "project_bn").unwrap();
    let x = b.add(x, y).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classifier", 5).unwrap();
    let mut graph = b.finish(&[x]).unwrap();
    randomise_statistics(&mut graph, 3);
    graph
}

/// Pictures as `[steps, batch, c, h, w]`, and the same as NHWC.
fn pictures() -> (Tensor, Vec<f32>) {
    let mut rng = Rng::new(8);
    let (pixels, images) = (SIDE * SIDE, STEPS * BATCH);
    let nchw: Vec<f32> = (0..images * 3 * pixels).map(|_| rng.normal()).collect();
    let mut nhwc = vec![];
    for image in nchw.chunks(3 * pixels) {
        (0..pixels).for_each(|p| nhwc.extend((0..3).map(|c| image[c * pixels + p])));
    }
    (Tensor::new([STEPS, BATCH, 3, SIDE, SIDE], nchw).unwrap(), nhwc)
}

struct Own {
    losses: Vec<f64>,
    /// Parameters and statistics in ONNX's layout, after the first and the last step.
    states: Vec<Vec<(String, Tensor)>>,
}

fn train(graph: &Graph, nhwc: &[f32], labels: &[u32]) -> Own {
    let mut engine =
        Engine::new(TrainPlan::new(graph, BATCH).unwrap(), Pool::new(2), Isa::detect());
    let optimizer = Optimizer::Sgd { momentum: MOMENTUM, nesterov: true };
    let mut state = OptimizerState::new(optimizer, Group::of_tensors(engine.params()));
    let mut own = Own { losses: vec![], states: vec![] };
    for step in 0..STEPS {
        engine.forward(&nhwc[step * nhwc.len() / STEPS..][..nhwc.len() / STEPS], BATCH, true);
        own.losses.push(engine.loss(&labels[step * BATCH..][..BATCH], SMOOTHING));
        engine.backward();
        let (params, gradients, pool) = engine.update();
        state.step(pool, &mut params.values, gradients, DECAY, LR, step as u64);
        if step == 0 || step + 1 == STEPS {
            let tensors = params.names().map(|(name, kind, _)| {
                let array = if kind == Kind::Statistic { &params.stats } else { &params.values };
                let onnx = params.to_onnx(name, array).unwrap();
                let shape = graph.constant(graph.find_value(name).unwrap()).unwrap().shape();
                (name.to_string(), Tensor::new(shape, onnx).unwrap())
            });
            own.states.push(tensors.collect());
        }
    }
    own
}

#[test]
fn steps_agree_with_pytorch() {
    let Some(python) = Python::with(&["torch"]) else { return };
    let graph = network();
    let (x, nhwc) = pictures();
    let mut rng = Rng::new(9);
    let labels: Vec<u32> = (0..STEPS * BATCH).map(|_| rng.below(5) as u32).collect();
    let own = train(&graph, &nhwc, &labels);

    let labels = labels.iter().map(|&l| i64::from(l)).collect::<Vec<_>>();
    let labels = Tensor::new([STEPS, BATCH], labels).unwrap();
    let mut inputs = vec![("x", &x), ("labels", &labels)];
    let values = graph.values().iter();
    inputs.extend(values.filter_map(|v| Some((v.name.as_str(), v.constant.as_ref()?))));
    let settings = [LR, MOMENTUM, DECAY, SMOOTHING].map(|v| v.to_string());
    for dtype in ["float64", "float32"] {
        let mut arguments = vec![dtype];
        arguments.extend(settings.iter().map(String::as_str));
        let peer = python.run(include_str!("peers/step.py"), &arguments, &inputs).unwrap();
        for (own, peer) in own.losses.iter().zip(peer["losses"].f32s().unwrap()) {
            assert!((own - f64::from(*peer)).abs() < 1e-5 * own, "{own}, PyTorch {peer}");
        }
        // Rounding grows from step to step: after the first the bound is a tenth.
        for (state, tag, tolerance) in
            [(&own.states[0], "first", 1e-5), (&own.states[1], "last", 1e-4)]
        {
            for (name, own) in state {
                let context = format!("{name} after the {tag} step, {dtype}");
                assert_close(own, &peer[&format!("{tag}.{name}")], tolerance, &context);
            }
        }
    }
}
