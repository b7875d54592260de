//! Small ONNX models: rewriting, compiling and running them gives an error or numbers, the same on
//! one and on two threads.

#![no_main]

use std::sync::{Arc, LazyLock};

use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Tensor, interpret, onnx, passes};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};

/// Work that a run may take, so that a slow run means a defect.
const MAX_MACS: u64 = 1 << 20;
const MAX_ELEMENTS: usize = 1 << 14;
const MAX_NODES: usize = 32;

static POOLS: LazyLock<[Arc<Pool>; 2]> =
    LazyLock::new(|| [1, 2].map(|threads| Arc::new(Pool::new(threads))));

fn small(graph: &Graph) -> bool {
    let elements = |v: &edgecut_graph::Value| v.shape.len_with(1, "fuzz").unwrap_or(usize::MAX);
    graph.nodes.len() <= MAX_NODES
        && graph.values().iter().all(|v| elements(v) <= MAX_ELEMENTS)
        && cost(graph, 1).is_ok_and(|c| c.macs <= MAX_MACS)
}

fn inputs(graph: &Graph) -> Option<Vec<Tensor>> {
    let input = |id: &edgecut_graph::ValueId| {
        let value = graph.value(*id);
        let shape = value.shape.with_symbols(1);
        let wave = |i: usize| (i as f32 * 0.7).sin() * 2.0;
        let floats: Vec<f32> = (0..shape.iter().product()).map(wave).collect();
        let tensor = Tensor::new(shape, floats).ok()?;
        edgecut_fuzz::cast(&tensor, value.dtype)
    };
    graph.inputs.iter().map(input).collect()
}

fn run(graph: &Graph, inputs: &[Tensor], pool: &Arc<Pool>) -> Option<Vec<Tensor>> {
    let plan = compile(graph, &CompileOptions::default()).ok()?;
    Session::new(Arc::new(plan), pool.clone()).infer(inputs).ok()
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u64>> {
    let of = |t: &Tensor| match t.f32s() {
        Ok(values) => values.iter().map(|v| u64::from(v.to_bits())).collect(),
        Err(_) => t.to_i64().unwrap_or_default().into_iter().map(|v| v as u64).collect(),
    };
    tensors.iter().map(of).collect()
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut graph) = onnx::from_bytes("fuzz", bytes) else { return };
    if !small(&graph) {
        return;
    }
    let Some(inputs) = inputs(&graph) else { return };
    let plain = interpret::run(&graph, &inputs);
    let [one, two] = &*POOLS;
    let first = run(&graph, &inputs, one);
    let second = run(&graph, &inputs, two);
    assert!(first.as_deref().map(bits) == second.as_deref().map(bits), "threads change results");
    if let (Ok(plain), Some(first)) = (&plain, &first) {
        let shapes = |t: &[Tensor]| t.iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>();
        assert_eq!(shapes(plain), shapes(first), "interpreter and runtime disagree");
    }
    passes::canonicalise(&mut graph).expect("passes keep a graph valid");
    let _ = interpret::run(&graph, &inputs);
});
