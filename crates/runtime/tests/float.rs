//! Float graphs: against the interpreter, and the same bits however they run.

mod common;

use common::{kinds, plan, run_everywhere};
use edgecut_graph::{
    Binary, Builder, Cut, DType, Gemm, Graph, Op, PadMode, Reduction, ReshapeDim, Tensor, Unary,
    ValueId, Window, interpret,
};
use edgecut_kernels::Isa;
use edgecut_testkit::{assert_close, random_graph, random_inputs, random_tensor};

fn check(graph: &Graph, batch: usize, seed: u64, context: &str) {
    let inputs = random_inputs(graph, batch, seed);
    let expected = interpret::run(graph, &inputs).unwrap();
    let outputs = run_everywhere(graph, &inputs, context);
    for (output, expected) in outputs.iter().zip(&expected) {
        assert_close(output, expected, 1e-4, context);
    }
}

#[test]
fn random_networks_agree_with_the_interpreter() {
    for seed in 0..120 {
        check(&random_graph(seed), 1 + seed as usize % 3, seed, &format!("seed {seed}"));
    }
}

/// A graph over one input of `shape`, built by `f`.
fn graph(shape: &[usize], f: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> Graph {
    let mut b = Builder::new("case", 7);
    let dims: Vec<edgecut_graph::Dim> = shape.iter().map(|&d| d.into()).collect();
    let x = b.input("x", dims);
    let y = f(&mut b, x);
    b.finish(&[y]).unwrap()
}

fn apply(b: &mut Builder, op: Op, inputs: &[ValueId]) -> ValueId {
    b.apply("op", op, inputs).unwrap()
}

#[test]
fn images_keep_their_meaning_through_every_change_of_shape() {
    let flatten = graph(&[2, 3, 4, 5], |b, x| b.flatten(x).unwrap());
    check(&flatten, 2, 1, "flatten of an input");
    let behind_conv = graph(&[2, 3, 4, 5], |b, x| {
        let x = b.conv(x, "c", 6, Window::same(3, 1), 1, true).unwrap();
        let x = b.flatten(x).unwrap();
        b.linear(x, "l", 7).unwrap()
    });
    check(&behind_conv, 2, 2, "flatten of a map");
    let shuffle = graph(&[2, 6, 3, 4], |b, x| {
        let x = b.conv(x, "c", 6, Window::same(1, 1), 1, true).unwrap();
        let dims =
            |d: &[usize]| Op::Reshape { dims: d.iter().map(|&d| ReshapeDim::Fixed(d)).collect() };
        let x = apply(b, dims(&[2, 2, 3, 3, 4]), &[x]);
        let x = apply(b, Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[x]);
        let x = apply(b, dims(&[2, 6, 3, 4]), &[x]);
        b.conv(x, "d", 5, Window::same(3, 2), 1, true).unwrap()
    });
    check(&shuffle, 2, 3, "channel shuffle");
    for perm in [[0, 2, 3, 1], [3, 1, 0, 2], [0, 1, 3, 2], [0, 1, 2, 3]] {
        let transpose = graph(&[2, 3, 4, 5], |b, x| {
            let x = b.relu(x).unwrap();
            apply(b, Op::Transpose { perm: perm.to_vec() }, &[x])
        });
        check(&transpose, 2, 4, &format!("transpose {perm:?}"));
    }
    let squeeze = graph(&[2, 5, 4, 3], |b, x| {
        let x = b.global_average_pool(x).unwrap();
        let x = apply(b, Op::Squeeze { axes: vec![2, 3] }, &[x]);
        let x = b.linear(x, "l", 4).unwrap();
        apply(b, Op::Unsqueeze { axes: vec![2, 3] }, &[x])
    });
    check(&squeeze, 2, 5, "squeeze and unsqueeze");
}

#[test]
fn slices_pads_and_joins() {
    let cut = |axis, start, len, step| Cut { axis, start, len, step };
    for cuts in
        [vec![cut(1, 2, 3, 1)], vec![cut(2, 1, 2, 2), cut(3, 0, 3, 2)], vec![cut(0, 1, 1, 1)]]
    {
        let context = format!("{cuts:?}");
        let slice = graph(&[2, 6, 5, 5], |b, x| {
            let x = b.relu(x).unwrap();
            apply(b, Op::Slice { cuts }, &[x])
        });
        check(&slice, 2, 6, &context);
    }
    let pad = graph(&[2, 3, 4, 5], |b, x| {
        let (before, after) = (vec![0, 1, 2, 0], vec![1, 0, 1, 3]);
        apply(b, Op::Pad { before, after, mode: PadMode::Constant(1.5) }, &[x])
    });
    check(&pad, 2, 7, "pad");
    for axis in 0..4 {
        let concat = graph(&[2, 3, 4, 5], |b, x| {
            let y = b.relu(x).unwrap();
            b.concat(&[x, y, x], axis).unwrap()
        });
        check(&concat, 2, 8, &format!("concat along {axis}"));
    }
}

#[test]
fn operands_broadcast_as_in_numpy() {
    let shapes: [&[usize]; 7] =
        [&[], &[5], &[4, 1], &[3, 1, 1], &[1, 3, 1, 1], &[2, 1, 4, 5], &[2, 3, 1, 1]];
    for (i, shape) in shapes.iter().enumerate() {
        for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div] {
            let net = graph(&[2, 3, 4, 5], |b, x| {
                let other = b.constant("k", random_tensor(shape, i as u64));
                apply(b, Op::Binary(op), &[x, other])
            });
            check(&net, 2, 9, &format!("{op:?} with {shape:?}"));
            let turned = graph(&[2, 3, 4, 5], |b, x| {
                let other = b.constant("k", random_tensor(shape, i as u64));
                let y = apply(b, Op::Binary(op), &[other, x]);
                b.relu6(y).unwrap()
            });
            check(&turned, 2, 10, &format!("{shape:?} {op:?} and clamp"));
        }
    }
    let scale = graph(&[2, 8, 6, 5], |b, x| {
        let s = b.global_average_pool(x).unwrap();
        let s = b.conv(s, "c", 8, Window::same(1, 1), 1, true).unwrap();
        let s = apply(b, Op::Unary(Unary::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }), &[s]);
        apply(b, Op::Binary(Binary::Mul), &[x, s])
    });
    check(&scale, 2, 11, "squeeze and excitation");
}

#[test]
fn elementwise_functions() {
    let functions = [
        Unary::Relu,
        Unary::Clip { min: -0.5, max: 0.25 },
        Unary::Clip { min: 1.0, max: -1.0 },
        Unary::LeakyRelu { alpha: 0.1 },
        Unary::Sigmoid,
        Unary::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Unary::HardSwish,
        Unary::Silu,
    ];
    for function in functions {
        let net = graph(&[2, 3, 9, 11], |b, x| {
            let x = b.conv(x, "c", 5, Window::same(1, 1), 1, true).unwrap();
            let y = apply(b, Op::Unary(function), &[x]);
            apply(b, Op::Unary(function), &[y])
        });
        check(&net, 2, 12, &format!("{function:?}"));
    }
    for axis in [1, 3] {
        let net = graph(&[2, 7, 3, 4], |b, x| apply(b, Op::Softmax { axis }, &[x]));
        check(&net, 2, 13, &format!("softmax along {axis}"));
    }
}

#[test]
fn matrix_products() {
    for (trans_a, trans_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let (a, w) = (if trans_a { [5, 3] } else { [3, 5] }, if trans_b { [4, 5] } else { [5, 4] });
        for c in [&[][..], &[4], &[1, 4], &[3, 1], &[3, 4]] {
            let net = graph(&a, |b, x| {
                let w = b.constant("w", random_tensor(&w, 1));
                let c = b.constant("k", random_tensor(c, 2));
                let gemm = Gemm { alpha: 0.5, beta: 2.0, trans_a, trans_b };
                let y = apply(b, Op::Gemm(gemm), &[x, w, c]);
                b.relu(y).unwrap()
            });
            check(&net, 1, 14, &format!("gemm {trans_a} {trans_b} {c:?}"));
        }
    }
    for shape in [&[3, 5][..], &[2, 3, 5], &[2, 2, 3, 5]] {
        let net = graph(shape, |b, x| {
            let w = b.constant("w", random_tensor(&[5, 6], 3));
            apply(b, Op::MatMul, &[x, w])
        });
        check(&net, 1, 15, &format!("matmul {shape:?}"));
    }
    let computed = graph(&[4, 4], |b, x| {
        let y = b.relu(x).unwrap();
        apply(b, Op::MatMul, &[x, y])
    });
    check(&computed, 1, 16, "matmul of two computed values");
}

#[test]
fn reductions_and_pools() {
    for keep_dims in [true, false] {
        for axes in [vec![2, 3], vec![1], vec![0, 2]] {
            let net = graph(&[2, 3, 4, 5], |b, x| {
                apply(b, Op::Reduce { kind: Reduction::Mean, axes: axes.clone(), keep_dims }, &[x])
            });
            check(&net, 2, 17, &format!("mean over {axes:?}"));
        }
    }
    for ceil_mode in [false, true] {
        for count_include_pad in [false, true] {
            let window = Window { pads: [1, 0, 1, 1], ..Window::new([3, 2], [2, 2]) };
            let pool = edgecut_graph::Pool { window, ceil_mode, count_include_pad };
            let net = graph(&[2, 3, 8, 7], |b, x| apply(b, Op::AveragePool(pool), &[x]));
            check(&net, 2, 18, &format!("average {ceil_mode} {count_include_pad}"));
            let net = graph(&[2, 3, 8, 7], |b, x| apply(b, Op::MaxPool(pool), &[x]));
            check(&net, 2, 19, &format!("maximum {ceil_mode}"));
        }
    }
}

#[test]
fn one_step_computes_a_convolution_and_what_follows_it() {
    let net = graph(&[1, 8, 6, 6], |b, x| {
        let y = b.conv(x, "expand", 16, Window::same(1, 1), 1, false).unwrap();
        let y = b.batch_norm(y, "n1").unwrap();
        let y = b.relu6(y).unwrap();
        let y = b.conv(y, "depthwise", 16, Window::same(3, 1), 16, false).unwrap();
        let y = b.batch_norm(y, "n2").unwrap();
        let y = b.relu6(y).unwrap();
        let y = b.conv(y, "project", 8, Window::same(1, 1), 1, false).unwrap();
        let y = b.batch_norm(y, "n3").unwrap();
        b.add(x, y).unwrap()
    });
    let plan = plan(&net, 1, Isa::detect());
    let expected = ["layout", "pointwise", "depthwise", "pointwise", "layout"];
    assert_eq!(kinds(&plan), expected);
    check(&net, 1, 20, "inverted residual");
}

#[test]
fn what_the_caller_sees_is_never_fused_away() {
    let mut b = Builder::new("case", 1);
    let x = b.input("x", [1.into(), 4.into(), 5.into(), 5.into()]);
    let y = b.conv(x, "c", 4, Window::same(3, 1), 1, true).unwrap();
    let z = b.relu(y).unwrap();
    let w = b.add(y, z).unwrap();
    let constant = b.constant("k", random_tensor(&[1, 2, 3, 4], 1));
    let net = b.finish(&[y, x, z, w, y, constant]).unwrap();
    check(&net, 1, 21, "outputs");
}

#[test]
fn integer_values_move_unchanged() {
    let mut net = Graph::new("integers");
    let shape = edgecut_graph::Shape::fixed(&[2, 3, 2, 2]);
    for dtype in [DType::I64, DType::I8, DType::U8, DType::I32, DType::Bool] {
        let x = net.add_input(format!("x{dtype}"), dtype, shape.clone());
        let y = net.add_node(format!("c{dtype}"), Op::Concat { axis: 1 }, &[Some(x), Some(x)]);
        let perm = Op::Transpose { perm: vec![1, 0, 2, 3] };
        let z = net.add_node(format!("t{dtype}"), perm, &[Some(y.unwrap())]).unwrap();
        net.outputs.push(z);
    }
    let ints: Vec<i64> = (0..24).collect();
    let tensor = |data: edgecut_graph::Data| Tensor::new([2, 3, 2, 2], data).unwrap();
    let inputs = [
        tensor(ints.clone().into()),
        tensor(ints.iter().map(|&i| (i * 9 - 100) as i8).collect::<Vec<_>>().into()),
        tensor(ints.iter().map(|&i| i as u8).collect::<Vec<_>>().into()),
        tensor(ints.iter().map(|&i| i as i32).collect::<Vec<_>>().into()),
        tensor(ints.iter().map(|&i| i % 3 == 0).collect::<Vec<_>>().into()),
    ];
    let expected = interpret::run(&net, &inputs).unwrap();
    assert_eq!(run_everywhere(&net, &inputs, "integers"), expected);
}
