//! Running a graph in every way that must not matter.

#![allow(dead_code)] // each test binary uses its own part

pub mod qdq;

use std::sync::Arc;

use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::{Isa, Pool};
use edgecut_runtime::{CompileOptions, Plan, Session, compile};

/// The outputs of `graph`, asserted to be the same bits on every instruction set that this machine
/// has and on one and two threads, and in a second run of the same session.
pub fn run_everywhere(graph: &Graph, inputs: &[Tensor], context: &str) -> Vec<Tensor> {
    let batch = inputs.first().and_then(|x| x.shape().first().copied()).unwrap_or(1);
    let mut first: Option<Vec<Tensor>> = None;
    for threads in [1, 2] {
        let pool = Arc::new(Pool::new(threads));
        for isa in Isa::available() {
            let plan = plan(graph, batch, isa);
            let mut session = Session::new(plan, pool.clone());
            let outputs = session.infer(inputs).unwrap_or_else(|e| panic!("{context}: {e}"));
            session.run().unwrap();
            for (index, output) in outputs.iter().enumerate() {
                let again = session.output(index).unwrap();
                assert!(same_bits(output, &again), "{context}: second run differs");
            }
            let expected = first.get_or_insert_with(|| outputs.clone());
            let same = expected.iter().zip(&outputs).all(|(a, b)| same_bits(a, b));
            assert!(same, "{context}: {} on {threads} threads differs", isa.name());
        }
    }
    first.expect("at least one instruction set")
}

/// The plan of `graph`.
pub fn plan(graph: &Graph, batch: usize, isa: Isa) -> Arc<Plan> {
    Arc::new(compile(graph, &CompileOptions { batch, isa, ..CompileOptions::default() }).unwrap())
}

/// Whether two tensors are equal bit for bit, so that NaN equals itself and 0 differs from -0.
pub fn same_bits(a: &Tensor, b: &Tensor) -> bool {
    match (a.f32s(), b.f32s()) {
        (Ok(x), Ok(y)) => {
            a.shape() == b.shape() && x.iter().zip(y).all(|(x, y)| x.to_bits() == y.to_bits())
        }
        _ => a == b,
    }
}

/// The kinds of the plan's steps, in order.
pub fn kinds(plan: &Plan) -> Vec<&str> {
    plan.steps().iter().map(|s| &*s.kind).collect()
}
