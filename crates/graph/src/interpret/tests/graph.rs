//! Whole graphs, and inputs that do not fit.

use super::*;

fn small() -> Graph {
    let mut b = Builder::new("small", 3);
    let x = b.input("image", ["n".into(), 2.into(), 4.into(), 4.into()]);
    let y = b.conv(x, "conv", 2, Window::same(3, 1), 1, true).unwrap();
    let z = b.add(x, y).unwrap();
    b.finish(&[z, x]).unwrap()
}

#[test]
fn batch_is_taken_from_the_inputs() {
    let graph = small();
    let outputs = run(&graph, &[ramp(&[3, 2, 4, 4])]).unwrap();
    assert_eq!(outputs[0].shape(), [3, 2, 4, 4]);
    assert_eq!(outputs[1].f32s().unwrap()[95], 95.0);
    let mut seen = vec![];
    run_with(&graph, &[ramp(&[1, 2, 4, 4])], &mut |id, t| {
        seen.push((graph.value(id).name.clone(), t.len()));
    })
    .unwrap();
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["image", "conv", "image.add"]);
}

#[test]
fn wrong_inputs_are_explained() {
    let graph = small();
    let message = |inputs: &[Tensor]| run(&graph, inputs).unwrap_err().to_string();
    assert_eq!(message(&[]), "graph 'small': needs 1 inputs, got 0");
    let wrong = message(&[ramp(&[1, 3, 4, 4])]);
    assert_eq!(wrong, "input 'image': expected [n, 2, 4, 4] (n = 1), got [1, 3, 4, 4]");
    let bytes = message(&[tensor(&[1, 2, 4, 4], vec![0u8; 32])]);
    assert_eq!(bytes, "tensor 'image' is uint8, expected float32");
}

#[test]
fn one_symbol_means_one_size() {
    let mut b = Builder::new("two", 0);
    let x = b.input("x", ["n".into(), 2.into()]);
    let y = b.input("y", ["n".into(), 2.into()]);
    let z = b.add(x, y).unwrap();
    let graph = b.finish(&[z]).unwrap();
    let error = run(&graph, &[ramp(&[2, 2]), ramp(&[1, 2])]).unwrap_err().to_string();
    assert_eq!(error, "input 'y': expected [n, 2] (n = 2), got [1, 2]");
}

#[test]
fn operators_reject_inputs_that_do_not_fit() {
    let window = Window::new([3, 3], [1, 1]);
    let conv = Op::Conv(Conv { window, groups: 1 });
    let error = apply(conv.clone(), &[&ramp(&[1, 1, 2, 2]), &ramp(&[1, 1, 3, 3])]).unwrap_err();
    assert!(error.to_string().contains("exceeds its input"), "{error}");
    assert!(apply(conv, &[&ramp(&[1, 1, 2, 2])]).is_err());
    assert!(apply(Op::Concat { axis: 0 }, &[]).is_err());
}

#[test]
fn empty_batches_are_allowed() {
    let outputs = run(&small(), &[tensor(&[0, 2, 4, 4], Vec::<f32>::new())]).unwrap();
    assert_eq!(outputs[0].shape(), [0, 2, 4, 4]);
    let x = tensor(&[0, 3, 2, 2], Vec::<f32>::new());
    assert_eq!(apply(Op::GlobalAveragePool, &[&x]).unwrap().shape(), [0, 3, 1, 1]);
    assert_eq!(apply(Op::Softmax { axis: 1 }, &[&x]).unwrap().len(), 0);
    assert_eq!(apply(Op::Transpose { perm: vec![3, 1, 0, 2] }, &[&x]).unwrap().len(), 0);
}
