//! Every architecture runs on kernels alone, none of its operators through the interpreter.

use edgecut_runtime::{CompileOptions, compile};
use edgecut_zoo::{Options, list};

#[test]
fn every_step_has_a_kernel() {
    for architecture in list() {
        let graph = architecture.build(&Options::default()).unwrap();
        let plan = compile(&graph, &CompileOptions::default()).unwrap();
        let slow = plan.steps().iter().filter(|s| s.kind == "reference");
        let slow: Vec<&str> = slow.map(|s| s.name.as_str()).collect();
        assert!(slow.is_empty(), "{}: no kernel for {slow:?}", architecture.name);
    }
}
