//! Every architecture against PyTorch: parameters, multiply-adds, and logits with weights that are
//! loaded by name.

use std::sync::Arc;

use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_testkit::{Python, max_abs_diff};
use edgecut_zoo::{Architecture, Options, list, state_dict};

const SCRIPT: &str = concat!(include_str!("references.py"), "\n", include_str!("export.py"));

/// All but two variants for 28x28 images that no one else has.
fn has_reference(architecture: &&Architecture) -> bool {
    !["mobilenet-v2-s28", "mobilenet-v3-s28"].contains(&architecture.name)
}

fn infer(graph: &Graph, input: &Tensor) -> Tensor {
    let plan = Arc::new(compile(graph, &CompileOptions::default()).unwrap());
    let mut session = Session::new(plan, Arc::new(Pool::new(2)));
    session.infer(std::slice::from_ref(input)).unwrap().remove(0)
}

#[test]
fn counts_and_logits_equal_pytorch() {
    let Some(python) = Python::with(&["torch", "torchvision", "safetensors"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let architectures: Vec<&Architecture> = list().iter().filter(has_reference).collect();
    let mut arguments = vec![folder.path().to_str().unwrap().to_string()];
    arguments.extend(architectures.iter().map(|a| {
        let [channels, height, width] = a.input;
        format!("{}:{channels}:{height}:{width}", a.name)
    }));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let theirs = python.run(SCRIPT, &arguments, &[]).unwrap();
    for architecture in architectures {
        let name = architecture.name;
        let mut graph = architecture.build(&Options::default()).unwrap();
        let cost = cost(&graph, 1).unwrap();
        let counts = theirs[&format!("{name}.counts")].i64s().unwrap();
        assert_eq!([cost.parameters, cost.macs].map(|n| n as i64), counts, "{name}");

        let weights = state_dict::read(&folder.path().join(name)).unwrap();
        let loaded = state_dict::load(&mut graph, &weights).unwrap();
        assert_eq!(loaded.unused, Vec::<String>::new(), "{name}");
        let logits = infer(&graph, &theirs[&format!("{name}.input")]);
        let expected = &theirs[&format!("{name}.logits")];
        let largest = expected.to_f32().into_iter().fold(0f32, |m, v| m.max(v.abs()));
        let difference = max_abs_diff(&logits, expected);
        println!("{name}: logits up to {largest:.3}, difference {difference:.1e}");
        assert!(difference <= 1e-4, "{name}: {difference} of {largest}");
    }
}
