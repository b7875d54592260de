//! Convolution and pooling.

use super::super::write::{int, ints};
use super::*;
use crate::op::{Conv, Pool, Window};

fn conv(size: usize, kernel: usize, attributes: &[AttributeProto]) -> Model {
    let weight = Tensor::zeros([3, 2, kernel, kernel]).unwrap();
    model(13).fixed(&[1, 2, size, size]).stored("w", weight).node("Conv", "x w", "y", attributes)
}

fn pads(model: Model) -> [usize; 4] {
    match model.ops().as_slice() {
        [Op::Conv(Conv { window, .. })] => window.pads,
        [Op::MaxPool(Pool { window, .. }) | Op::AveragePool(Pool { window, .. })] => window.pads,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_kernel_comes_from_the_weight_where_it_is_not_given() {
    let window = Window::new([3, 3], [1, 1]);
    assert_eq!(conv(5, 3, &[]).ops(), [Op::Conv(Conv { window, groups: 1 })]);
}

#[test]
fn explicit_windows_keep_every_number() {
    let graph = conv(
        9,
        3,
        &[
            ints("kernel_shape", &[3, 3]),
            ints("strides", &[1, 2]),
            ints("dilations", &[2, 1]),
            ints("pads", &[0, 1, 2, 3]),
            int("group", 1),
        ],
    )
    .graph();
    let window = Window { kernel: [3, 3], strides: [1, 2], dilations: [2, 1], pads: [0, 1, 2, 3] };
    assert_eq!(graph.nodes[0].op, Op::Conv(Conv { window, groups: 1 }));
    assert_eq!(shape_of(&graph), "[1, 3, 7, 6]");
}

#[test]
fn automatic_padding_becomes_explicit() {
    let same = |size, kernel, stride, mode| {
        pads(conv(size, kernel, &[text("auto_pad", mode), ints("strides", &[stride, stride])]))
    };
    // 5 / 2 rounds up to 3 outputs: (3 - 1) * 2 + 2 - 5 = 1 element of padding.
    assert_eq!(same(5, 2, 2, "SAME_UPPER"), [0, 0, 1, 1]);
    assert_eq!(same(5, 2, 2, "SAME_LOWER"), [1, 1, 0, 0]);
    assert_eq!(same(8, 3, 2, "SAME_UPPER"), [0, 0, 1, 1]);
    assert_eq!(same(8, 3, 1, "SAME_LOWER"), [1, 1, 1, 1]);
    // A stride beyond the kernel needs none.
    assert_eq!(same(6, 1, 3, "SAME_UPPER"), [0; 4]);
    assert_eq!(same(8, 3, 2, "VALID"), [0; 4]);
    assert_eq!(same(8, 3, 2, "NOTSET"), [0; 4]);
    conv(8, 3, &[text("auto_pad", "SOMETIMES")]).malformed("SOMETIMES");
}

#[test]
fn pooling_keeps_its_modes() {
    let kernel = ints("kernel_shape", &[3, 3]);
    let strides = ints("strides", &[2, 2]);
    let attributes =
        [kernel.clone(), strides.clone(), int("ceil_mode", 1), int("storage_order", 1)];
    let graph = single(12, "MaxPool", &attributes).graph();
    assert!(matches!(graph.nodes[0].op, Op::MaxPool(Pool { ceil_mode: true, .. })));
    assert_eq!(shape_of(&graph), "[batch, 2, 2, 2]");
    let graph = single(12, "MaxPool", &[kernel.clone(), strides.clone()]).graph();
    assert_eq!(shape_of(&graph), "[batch, 2, 1, 1]");
    let average = single(11, "AveragePool", &[kernel, strides, int("count_include_pad", 1)]).ops();
    assert!(matches!(average[0], Op::AveragePool(Pool { count_include_pad: true, .. })));
    assert_eq!(single(7, "GlobalAveragePool", &[]).ops(), [Op::GlobalAveragePool]);
}

#[test]
fn other_dimensions_and_outputs_are_refused() {
    let weight = Tensor::zeros([3, 2, 3, 3]).unwrap();
    let line = model(13).fixed(&[1, 2, 9]).stored("w", weight.clone());
    line.node("Conv", "x w", "y", &[]).malformed("different numbers of dimensions");
    let volume = model(13).fixed(&[1, 2, 4, 4, 4]).stored("w", weight);
    volume.node("Conv", "x w", "y", &[]).unsupported("5 dimensions");
    let kernel = ints("kernel_shape", &[2, 2]);
    let model = model(13).node("MaxPool", "x", "p indices", std::slice::from_ref(&kernel));
    model.node("Relu", "indices", "y", &[]).unsupported("additional output");
    single(13, "MaxPool", &[]).malformed("kernel_shape");
    single(13, "MaxPool", &[ints("kernel_shape", &[2])]).malformed("2 spatial dimensions");
    let negative = signed("pads", &[0, 0, -1, 0]);
    single(13, "MaxPool", &[kernel, negative]).unsupported("outside 0 to");
}

#[test]
fn lines_are_images_of_one_row() {
    let weight = constant(&[1.0, 2.0, 4.0], &[1, 1, 3]);
    let line = model(13).fixed(&[1, 1, 5]).stored("w", weight);
    let strides = ints("strides", &[2]);
    let graph = line.node("Conv", "x w", "y", &[strides, ints("pads", &[1, 1])]).graph();
    let window = Window { strides: [1, 2], pads: [0, 1, 0, 1], ..Window::new([1, 3], [1, 1]) };
    assert_eq!(graph.nodes[1].op, Op::Conv(Conv { window, groups: 1 }));
    let y = run(&graph, &[1, 1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!((y.shape(), y.f32s().unwrap()), (&[1, 1, 3][..], &[10.0, 24.0, 14.0][..]));
    let graph =
        model(13).fixed(&[1, 1, 4]).node("MaxPool", "x", "y", &[ints("kernel_shape", &[2])]);
    let y = run(&graph.graph(), &[1, 1, 4], &[1.0, 3.0, 2.0, 0.0]);
    assert_eq!(y.f32s().unwrap(), [3.0, 3.0, 2.0]);
}

#[test]
fn automatic_padding_needs_fixed_sizes() {
    let dims = vec![1.into(), 2.into(), Dim::from("h"), 8.into()];
    let model = model(13).input("x", DType::F32, Shape::new(dims));
    let model = model.stored("w", Tensor::zeros([3, 2, 3, 3]).unwrap());
    model.node("Conv", "x w", "y", &[text("auto_pad", "SAME_UPPER")]).unsupported("fixed height");
}
