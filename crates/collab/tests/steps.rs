//! Steps of compiled plans as vertices: all time is somewhere, and no cut lies inside of a step.

use std::sync::Arc;

use edgecut_collab::partition::{
    Conditions, Objective, Placement, Planner, Problem, Radio, StepTime, Transfer, Vertices,
};
use edgecut_graph::{DType, Graph, Op, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Plan, compile};

fn price(_: &Graph, _: ValueId, bytes: u64) -> Transfer {
    Transfer { bytes, ..Transfer::default() }
}

/// Distinct times, so that a step that went missing shows in the sum.
fn steps(plan: &Plan) -> Vec<StepTime> {
    let step = |(index, step): (usize, &edgecut_runtime::StepInfo)| StepTime {
        name: step.name.clone(),
        device_ns: 1000 + index as u64,
        server_ns: 100,
        picojoules: 7,
    };
    plan.steps().iter().enumerate().map(step).collect()
}

fn parted(graph: &Graph) -> (Plan, Vertices, Problem) {
    let plan = compile(graph, &CompileOptions::default()).unwrap();
    let (vertices, problem) = Vertices::of_steps(graph, &steps(&plan), &price).unwrap();
    (plan, vertices, problem)
}

fn zoo(name: &str) -> Graph {
    edgecut_zoo::build(name, &edgecut_zoo::Options::default()).unwrap()
}

#[test]
fn all_time_is_somewhere_and_networks_keep_their_cuts() {
    for name in
        ["mobilenet-v2", "shufflenet-v2-1.0", "squeezenet-1.1", "mobilenet-v3-small", "resnet-18"]
    {
        let graph = zoo(name);
        let (plan, vertices, problem) = parted(&graph);
        let sum: u64 = problem.vertices().iter().map(|v| v.device_ns).sum();
        assert_eq!(sum, steps(&plan).iter().map(|s| s.device_ns).sum::<u64>(), "{name}");
        let weights: u64 = problem.vertices().iter().map(|v| v.weight_bytes).sum();
        let stored = graph.values().iter().filter_map(|v| v.constant.as_ref());
        assert_eq!(weights, stored.map(|t| t.bytes() as u64).sum::<u64>(), "{name}");
        // As many vertices that cost something as there are steps, but for layout conversions.
        let busy = problem.vertices().iter().filter(|v| v.device_ns > 0).count();
        assert!(busy <= plan.steps().len() && 4 * busy >= 3 * plan.steps().len(), "{name}: {busy}");
        let planner = Planner::new(problem, Radio::WIFI, None);
        assert!(planner.family().exhaustive, "{name}");
        for plan in &planner.family().plans {
            let nodes = vertices.nodes(plan);
            let batch_norm_and_its_convolution = |index: usize| {
                let node = &graph.nodes[index];
                let Op::BatchNorm { .. } = node.op else { return true };
                let made = graph.producers()[node.input(0).unwrap().index()].unwrap();
                nodes[index] == nodes[made]
            };
            assert!(
                (0..graph.nodes.len()).step_by(7).all(batch_norm_and_its_convolution),
                "{name}"
            );
        }
    }
}

#[test]
fn integers_cross_and_not_what_they_stand_for() {
    let float = zoo("mobilenet-v2-s32");
    let graph = edgecut_device::quantised(&float, &Arc::new(Pool::new(1))).unwrap();
    let (_, vertices, problem) = parted(&graph);
    let planner = Planner::new(problem, Radio::WIFI, None);
    let mut splits = 0;
    for megabits in [1.0, 10.0, 100.0, 1000.0, 10_000.0] {
        let least = planner.least(Objective::Latency, &Conditions::idle(megabits, 0.001));
        if least.placement == Placement::Split {
            splits += 1;
            for tensor in planner.problem().crossing(&least.device) {
                assert_eq!(graph.value(vertices.value(tensor)).dtype, DType::U8, "{megabits}");
            }
        }
    }
    assert!(splits > 0);
}
