//! Head and tail, one after the other, are the model: in the interpreter, in the runtime, and after
//! export in ONNX Runtime.

use std::sync::Arc;

use edgecut_collab::partition::{Planner, Price, Radio, StepTime, Transfer, Vertices};
use edgecut_collab::{Halves, SPLIT_KEY, Source};
use edgecut_graph::{Graph, Tensor, ValueId, interpret, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_testkit::{Python, assert_close, random_chain, random_graph, random_inputs};

fn price(_: &Graph, _: ValueId, bytes: u64) -> Transfer {
    Transfer { bytes, ..Transfer::default() }
}

/// Closed sets of nodes: everything before each node in order.
fn prefixes(graph: &Graph) -> impl Iterator<Item = Vec<bool>> + use<> {
    let count = graph.nodes.len();
    (0..=count).map(move |end| (0..count).map(|index| index < end).collect())
}

/// The answer of both halves, each run by `run`.
fn together(
    halves: &Halves,
    inputs: &[Tensor],
    run: &dyn Fn(&Graph, &[Tensor]) -> Vec<Tensor>,
) -> Vec<Tensor> {
    let head = halves.head.as_ref().map_or(vec![], |head| run(head, &halves.head_inputs(inputs)));
    let crossing = halves.crossing(inputs, &head);
    let tail = halves.tail.as_ref().map_or(vec![], |tail| run(tail, &crossing));
    halves.answer(inputs, &head, &tail)
}

fn interpreted(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    graph.validate().unwrap();
    interpret::run(graph, inputs).unwrap()
}

/// As bytes: NaN is equal to itself.
fn bytes(tensors: &[Tensor]) -> Vec<(Vec<usize>, Vec<u8>)> {
    tensors.iter().map(|t| (t.shape().to_vec(), t.to_le_bytes())).collect()
}

#[test]
fn halves_of_generated_networks_are_the_network_to_the_bit() {
    for seed in 0..60 {
        let graph = random_graph(seed);
        let inputs = random_inputs(&graph, 2, seed);
        let whole = interpreted(&graph, &inputs);
        for device in prefixes(&graph) {
            let halves = Halves::of(&graph, &device).unwrap();
            assert_eq!(
                bytes(&together(&halves, &inputs, &interpreted)),
                bytes(&whole),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn halves_of_arbitrary_operators_are_the_graph_to_the_bit() {
    for seed in 0..60 {
        let (graph, inputs) = random_chain(seed, 6);
        let whole = interpreted(&graph, &inputs);
        // Closed sets that are no prefixes, too.
        let (vertices, problem) = Vertices::of_nodes(&graph, |_| [1, 1, 1], &price).unwrap();
        let planner = Planner::new(problem, Radio::WIFI, None);
        for plan in planner.family().plans.iter().step_by(planner.family().plans.len().div_ceil(20))
        {
            let halves = Halves::of(&graph, &vertices.nodes(plan)).unwrap();
            assert_eq!(
                bytes(&together(&halves, &inputs, &interpreted)),
                bytes(&whole),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn halves_are_put_together_from_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let whole = zoo("mobilenet-v2-s32");
    let read = |graph: &Graph, name: &str| {
        let path = folder.path().join(name);
        onnx::export(graph, &path).unwrap();
        onnx::import(&path).unwrap()
    };
    let [middle, other] = [2, 3].map(|part| {
        let device = cuts(&whole).swap_remove(cuts(&whole).len() / part);
        Halves::of(&whole, &device).unwrap()
    });
    let (head, tail) = (middle.head.as_ref().unwrap(), middle.tail.as_ref().unwrap());
    let (head, tail) = (read(head, "head.onnx"), read(tail, "tail.onnx"));
    let halves = Halves::of_parts(&whole, head.clone(), tail.clone()).unwrap();
    assert_eq!(halves.crossing, middle.crossing);
    let inputs = random_inputs(&whole, 1, 5);
    assert_eq!(bytes(&together(&halves, &inputs, &compiled)), bytes(&compiled(&whole, &inputs)));
    let error = Halves::of_parts(&whole, head, other.tail.clone().unwrap()).unwrap_err();
    assert!(error.to_string().contains("same cut"), "{error}");
}

fn compiled(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let plan = Arc::new(compile(graph, &CompileOptions::default()).unwrap());
    Session::new(plan, Arc::new(Pool::new(1))).infer(inputs).unwrap()
}

/// Cuts between the steps of the whole model's plan.
fn cuts(graph: &Graph) -> Vec<Vec<bool>> {
    let plan = compile(graph, &CompileOptions::default()).unwrap();
    let step = |step: &edgecut_runtime::StepInfo| StepTime {
        name: step.name.clone(),
        ..StepTime::default()
    };
    let steps: Vec<StepTime> = plan.steps().iter().map(step).collect();
    let price: &dyn Price = &price;
    let (vertices, problem) = Vertices::of_steps(graph, &steps, price).unwrap();
    let count = problem.vertices().len();
    let prefix = |end: usize| (0..count).map(|v| v < end).collect::<Vec<bool>>();
    (0..=count).map(|end| vertices.nodes(&prefix(end))).collect()
}

fn zoo(name: &str) -> Graph {
    let mut graph = edgecut_zoo::build(name, &edgecut_zoo::Options::default()).unwrap();
    edgecut_testkit::randomise_statistics(&mut graph, 3);
    graph
}

#[test]
fn halves_at_steps_have_the_bits_of_the_whole_plan() {
    for name in ["mobilenet-v2-s32", "mobilenet-v3-s28", "resnet-20", "ds-cnn-s"] {
        let float = zoo(name);
        let int8 = edgecut_device::quantised(&float, &Arc::new(Pool::new(1))).unwrap();
        for graph in [float, int8] {
            let inputs = random_inputs(&graph, 1, 5);
            let whole = bytes(&compiled(&graph, &inputs));
            for device in cuts(&graph).iter().step_by(3) {
                let halves = Halves::of(&graph, device).unwrap();
                assert_eq!(bytes(&together(&halves, &inputs, &compiled)), whole, "{name}");
            }
        }
    }
}

#[test]
fn what_flows_back_is_refused_and_where_halves_come_from_is_said() {
    let graph = zoo("lenet-5");
    let mut device = vec![true; graph.nodes.len()];
    device[0] = false;
    let error = Halves::of(&graph, &device).unwrap_err().to_string();
    assert!(error.contains("which the server computes"), "{error}");
    assert!(Halves::of(&graph, &[]).is_err());
    device.iter_mut().enumerate().for_each(|(i, here)| *here = i < 2);
    let halves = Halves::of(&graph, &device).unwrap();
    let (head, tail) = (halves.head.unwrap(), halves.tail.unwrap());
    assert_eq!(halves.crossing, [Source::Head(0)]);
    assert_eq!(head.metadata[SPLIT_KEY], tail.metadata[SPLIT_KEY]);
    let crossing = &head.value(head.outputs[0]).name;
    assert_eq!(&tail.value(tail.inputs[0]).name, crossing);
    assert!(head.metadata[SPLIT_KEY].ends_with(&format!("\n{crossing}")));
}

const SCRIPT: &str = r"
import numpy as np, onnxruntime as ort
def load(name):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return ort.InferenceSession(name, options, providers=['CPUExecutionProvider'])
whole, head, tail = (load(__import__('sys').argv[1] + '/' + n + '.onnx') for n in ('whole', 'head', 'tail'))
x = np.load('x.npy')
crossing = dict(zip([o.name for o in head.get_outputs()], head.run(None, {head.get_inputs()[0].name: x})))
np.save('split.npy', tail.run(None, {i.name: crossing[i.name] for i in tail.get_inputs()})[0])
np.save('whole.npy', whole.run(None, {whole.get_inputs()[0].name: x})[0])
";

#[test]
fn onnx_runtime_runs_both_halves() {
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    let float = zoo("mobilenet-v2-s32");
    let int8 = edgecut_device::quantised(&float, &Arc::new(Pool::new(1))).unwrap();
    for graph in [float, int8] {
        let cuts = cuts(&graph);
        let halves = Halves::of(&graph, &cuts[cuts.len() / 2]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let parts = [
            ("whole", &graph),
            ("head", halves.head.as_ref().unwrap()),
            ("tail", halves.tail.as_ref().unwrap()),
        ];
        for (name, part) in parts {
            onnx::export(part, &folder.path().join(format!("{name}.onnx"))).unwrap();
            let again = onnx::import(&folder.path().join(format!("{name}.onnx"))).unwrap();
            assert_eq!(again.metadata.get(SPLIT_KEY), part.metadata.get(SPLIT_KEY));
        }
        let inputs = random_inputs(&graph, 1, 5);
        let path = folder.path().to_str().unwrap();
        let found = python.run(SCRIPT, &[path], &[("x", &inputs[0])]).unwrap();
        assert_close(&found["split"], &found["whole"], 1e-4, "halves against whole");
        // In integers the runtime rounds a sum once where ONNX Runtime rounds its terms, too.
        if graph.nodes.iter().all(|node| node.op.name() != "QuantizeLinear") {
            let ours = &compiled(&graph, &inputs)[0];
            assert_close(&found["split"], ours, 1e-3, "ONNX Runtime against edgecut");
        }
    }
}
