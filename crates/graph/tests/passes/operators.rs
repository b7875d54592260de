//! Every pass on every operator, alone and in chains of operators that no network has.

use edgecut_graph::{Graph, Tensor, interpret, passes};
use edgecut_testkit::{max_abs_diff, operator_cases, random_chain};

/// Runs each pass alone, then all of them, on `graph`, and returns what computes something else.
/// Integers stay as they are; floats may be rounded elsewhere.
fn changed(graph: &Graph, inputs: &[Tensor], tolerance: f32) -> Vec<String> {
    let expected = interpret::run(graph, inputs).unwrap();
    let mut wrong = vec![];
    let mut compare = |pass: &str, rewritten: &Graph| {
        rewritten.validate().unwrap();
        let got = interpret::run(rewritten, inputs).unwrap();
        for (index, (a, b)) in expected.iter().zip(&got).enumerate() {
            let finite = a.to_f32().into_iter().filter(|v| v.is_finite()).map(f32::abs);
            let difference = max_abs_diff(b, a) / finite.fold(1.0, f32::max);
            if a.dtype() != b.dtype() || difference > tolerance {
                wrong.push(format!("{}, {pass}: output {index}, {difference}", graph.name));
            }
        }
    };
    for pass in passes::all() {
        let mut rewritten = graph.clone();
        if (pass.run)(&mut rewritten).unwrap() > 0 {
            compare(pass.name, &rewritten);
        }
    }
    let mut rewritten = graph.clone();
    passes::canonicalise(&mut rewritten).unwrap();
    compare("all", &rewritten);
    wrong
}

#[test]
fn every_operator_keeps_its_function() {
    let cases = operator_cases();
    let wrong = cases.iter().flat_map(|c| changed(&c.graph, &c.inputs, 1e-6));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn chains_of_operators_keep_their_function() {
    let wrong = (0..200).flat_map(|seed| {
        let (graph, inputs) = random_chain(seed, 1 + seed as usize % 8);
        changed(&graph, &inputs, 1e-5)
    });
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
