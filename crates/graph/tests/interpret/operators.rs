//! Generated operators of every family.

use std::collections::BTreeSet;

use edgecut_testkit::Family;

use crate::peer::{Question, compare};

/// Compares `count` cases; every operator among them must be one that ONNX Runtime has for some
/// type.
fn agrees(family: Family, count: u64, tolerance: f32) {
    let questions: Vec<Question> = (0..count)
        .map(|seed| {
            let case = family.case(seed);
            Question { graph: case.graph().unwrap(), inputs: case.tensors(), tolerance }
        })
        .collect();
    let Some(known) = compare(&questions) else { return };
    let name = |q: &Question| q.graph.nodes[0].op.name();
    let all: BTreeSet<&str> = questions.iter().map(name).collect();
    let compared = questions.iter().zip(&known).filter(|(_, known)| **known);
    let compared: BTreeSet<&str> = compared.map(|(q, _)| name(q)).collect();
    assert_eq!(compared, all);
}

#[test]
fn functions_of_elements() {
    agrees(Family::Elementwise, 480, 2e-6);
}

#[test]
fn windows() {
    agrees(Family::Window, 210, 1e-6);
}

#[test]
fn products() {
    agrees(Family::Product, 120, 1e-6);
}

#[test]
fn norms() {
    agrees(Family::Norm, 180, 1e-5);
}

#[test]
fn copies() {
    agrees(Family::Arrange, 280, 0.0);
}

#[test]
fn positions_as_data() {
    agrees(Family::Index, 180, 1e-6);
}

#[test]
fn reductions_and_order() {
    agrees(Family::Reduce, 240, 1e-6);
}

#[test]
fn resampling() {
    agrees(Family::Resize, 210, 1e-5);
}

#[test]
fn quantisation() {
    agrees(Family::Quantize, 120, 1e-6);
}
