//! Slices, concatenations and shuffles of channels: against the interpreter, and without steps
//! that move data where weights or places in wider tensors serve.

mod common;

use common::{kinds, plan, run_everywhere};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Binary, Builder, Graph, Op, Pool, ReshapeDim, ValueId, Window, interpret};
use edgecut_kernels::Isa;
use edgecut_testkit::{assert_close, random_inputs};

fn check(graph: &Graph, context: &str) {
    for batch in [1, 2] {
        let inputs = random_inputs(graph, batch, 5);
        let expected = interpret::run(graph, &inputs).unwrap();
        let outputs = run_everywhere(graph, &inputs, context);
        for (output, expected) in outputs.iter().zip(&expected) {
            assert_close(output, expected, 1e-4, context);
        }
    }
}

/// A graph over images of `[channels, height, width]`, built by `f`.
fn graph(shape: [usize; 3], f: impl FnOnce(&mut Builder, ValueId) -> Vec<ValueId>) -> Graph {
    let mut b = Builder::new("case", 7);
    let [channels, height, width] = shape;
    let x = b.input("x", ["n".into(), channels.into(), height.into(), width.into()]);
    let outputs = f(&mut b, x);
    b.finish(&outputs).unwrap()
}

/// How many steps only move data, the conversion of the input apart.
fn moves(graph: &Graph) -> usize {
    let plan = plan(graph, 1, Isa::detect());
    let moving = ["move", "concat", "shuffle", "elementwise"];
    kinds(&plan).into_iter().filter(|kind| moving.contains(kind)).count()
}

fn point(b: &mut Builder, x: ValueId, name: &str, maps: usize, groups: usize) -> ValueId {
    b.conv(x, name, maps, Window::same(1, 1), groups, true).unwrap()
}

fn depthwise(b: &mut Builder, x: ValueId, name: &str, stride: usize) -> ValueId {
    let channels = b.graph().value(x).shape.extent(1, name).unwrap();
    b.conv(x, name, channels, Window::same(3, stride), channels, true).unwrap()
}

/// Two units of ShuffleNetV2, the first of stride 2.
fn shuffle_units(half: usize, first: bool) -> Graph {
    graph([2 * half, 9, 11], |b, x| {
        let x = point(b, x, "stem", 2 * half, 1);
        let left = depthwise(b, x, "left.depthwise", 2);
        let left = point(b, left, "left.point", half, 1);
        let left = b.relu(left).unwrap();
        let right = point(b, x, "right.point", half, 1);
        let right = depthwise(b, right, "right.depthwise", 2);
        let right = point(b, right, "right.out", half, 1);
        let right = b.relu(right).unwrap();
        let halves = if first { [left, right] } else { [right, left] };
        let x = b.concat(&halves, 1).unwrap();
        let x = b.channel_shuffle(x, 2).unwrap();
        let parts = b.split(x, 1, &[half, half]).unwrap();
        let y = point(b, parts[1], "point", half, 1);
        let y = b.relu(y).unwrap();
        let y = depthwise(b, y, "depthwise", 1);
        let y = point(b, y, "out", half, 1);
        let y = b.relu(y).unwrap();
        let x = b.concat(&[parts[0], y], 1).unwrap();
        let x = b.channel_shuffle(x, 2).unwrap();
        vec![point(b, x, "last", 5, 1)]
    })
}

#[test]
fn units_of_shufflenet_v2_move_nothing() {
    for half in [2, 7, 16, 29, 58] {
        let context = format!("halves of {half}");
        check(&shuffle_units(half, true), &context);
        assert_eq!(moves(&shuffle_units(half, true)), 0, "{context}");
        check(&shuffle_units(half, false), &context);
    }
}

/// A unit of ShuffleNet: with stride 2 beside pooling, else around an addition.
fn grouped_unit(groups: usize, members: usize, stride: usize) -> Graph {
    let channels = groups * members;
    graph([channels, 8, 10], |b, x| {
        let x = b.relu(x).unwrap();
        let y = point(b, x, "first", channels, groups);
        let y = b.relu(y).unwrap();
        let y = b.channel_shuffle(y, groups).unwrap();
        let y = depthwise(b, y, "depthwise", stride);
        let y = point(b, y, "second", channels, groups);
        let joined = if stride == 2 {
            let pool =
                Pool { window: Window::same(3, 2), ceil_mode: false, count_include_pad: true };
            let pooled = b.apply("pool", Op::AveragePool(pool), &[x]).unwrap();
            b.concat(&[pooled, y], 1).unwrap()
        } else {
            b.add(x, y).unwrap()
        };
        let joined = b.relu(joined).unwrap();
        vec![point(b, joined, "last", 3, 1)]
    })
}

#[test]
fn units_of_shufflenet_v1() {
    for (groups, members) in [(1, 6), (2, 8), (3, 4), (3, 20), (4, 5), (8, 2)] {
        for stride in [1, 2] {
            let net = grouped_unit(groups, members, stride);
            let context = format!("{groups} groups of {members}, stride {stride}");
            check(&net, &context);
            // The activation of the input.
            assert_eq!(moves(&net), 1, "{context}");
        }
    }
}

#[test]
fn shuffles_before_convolutions_are_absorbed() {
    for groups in [2, 3, 4] {
        let net = |kernel: usize| {
            graph([12, 7, 6], |b, x| {
                let x = point(b, x, "first", 12, 1);
                let x = b.channel_shuffle(x, groups).unwrap();
                let x = depthwise(b, x, "depthwise", 1);
                let x = b.relu6(x).unwrap();
                vec![b.conv(x, "last", 9, Window::same(kernel, 1), 1, true).unwrap()]
            })
        };
        for kernel in [1, 3] {
            check(&net(kernel), &format!("{groups} groups, window {kernel}"));
            assert_eq!(moves(&net(kernel)), 0);
        }
    }
}

#[test]
fn concatenated_results_are_written_side_by_side() {
    let net = |extra: bool| {
        graph([6, 9, 8], |b, x| {
            let squeezed = point(b, x, "squeeze", 5, 1);
            let parts = [3, 17, 4].map(|maps| {
                let y = point(b, squeezed, &format!("expand{maps}"), maps, 1);
                b.relu(y).unwrap()
            });
            let inner = b.concat(&parts[..2], 1).unwrap();
            let mut outer = vec![inner, parts[2]];
            if extra {
                // Not computed by a step that could write beside others.
                outer.push(b.hard_swish(squeezed).unwrap());
            }
            let x = b.concat(&outer, 1).unwrap();
            let x = b.relu6(x).unwrap();
            vec![point(b, x, "last", 3, 1)]
        })
    };
    check(&net(false), "nested");
    check(&net(true), "with an input that is copied");
    let clamped = graph([6, 9, 8], |b, x| {
        let parts = [3, 17].map(|maps| point(b, x, &format!("expand{maps}"), maps, 1));
        let x = b.concat(&parts, 1).unwrap();
        let x = b.relu(x).unwrap();
        vec![point(b, x, "last", 3, 1)]
    });
    check(&clamped, "an activation behind");
    assert_eq!(moves(&clamped), 0);
}

#[test]
fn dense_blocks() {
    let net = graph([8, 7, 9], |b, x| {
        let mut x = point(b, x, "stem", 8, 1);
        for layer in 0..4 {
            let y = point(b, x, &format!("layer{layer}"), 4, 1);
            let y = b.relu(y).unwrap();
            x = b.concat(&[x, y], 1).unwrap();
        }
        let pooled = b.global_average_pool(x).unwrap();
        vec![point(b, x, "last", 3, 1), pooled]
    });
    check(&net, "each layer reads all before it");
}

#[test]
fn reshaped_results_are_images_of_other_rows() {
    let net = |channels: usize| {
        graph([2, 1, 1], |b, x| {
            let x = point(b, x, "wide", channels * 256 * 512, 1);
            let [height, width] = [256, 512].map(ReshapeDim::Fixed);
            let dims = [ReshapeDim::Copy, ReshapeDim::Fixed(channels), height, width];
            let x = b.reshape(x, &dims).unwrap();
            let x = b.conv(x, "window", 2, Window::same(3, 2), 1, true).unwrap();
            vec![b.relu(x).unwrap()]
        })
    };
    check(&net(1), "pixels of one channel");
    check(&net(2), "planes of two channels");
}

/// Networks of slices, joins, shuffles and convolutions, whoever reads what.
#[test]
fn generated_networks() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let mut pick = |n: usize| rng.below(n);
        let size = [[12, 5, 4], [6, 1, 1], [24, 8, 9]][pick(3)];
        let net = graph(size, |b, x| {
            let mut values = vec![x];
            for i in 0..4 + pick(12) {
                let x = values[values.len() - 1 - pick(values.len().min(4))];
                let channels = b.graph().value(x).shape.extent(1, "x").unwrap();
                let name = format!("layer{i}");
                let y = match pick(9) {
                    0 | 1 => point(b, x, &name, 2 * (1 + pick(9)), 1),
                    2 => depthwise(b, x, &name, 1),
                    3 if channels % 2 == 0 => point(b, x, &name, channels, 2),
                    4 | 5 if channels % 2 == 0 && channels > 2 => {
                        b.slice(x, 1, channels / 2 * pick(2), channels / 2).unwrap()
                    }
                    6 if channels % 2 == 0 => b.channel_shuffle(x, 2).unwrap(),
                    7 if channels < 60 => {
                        let other = values[pick(values.len())];
                        b.concat(&[other, x], 1).unwrap()
                    }
                    8 => b.apply("add", Op::Binary(Binary::Add), &[x, x]).unwrap(),
                    _ => b.relu(x).unwrap(),
                };
                values.push(y);
            }
            let last = values.len() - 1;
            let mut outputs = vec![values[last], values[1 + pick(last)]];
            outputs.dedup();
            outputs
        });
        check(&net, &format!("seed {seed}"));
    }
}
