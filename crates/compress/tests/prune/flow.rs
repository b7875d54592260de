//! Single operators: which channels hang together, and what stays.

use edgecut_compress::prune::{Channels, Role};
use edgecut_graph::{
    Binary, Builder, Cut, DepthOrder, Graph, Op, PadMode, ReshapeDim, Tensor, ValueId, Window,
};
use edgecut_testkit::random_tensor;

use crate::identity::check;

/// Channels of each group, and how many groups there are.
fn sizes(graph: &Graph) -> Vec<usize> {
    Channels::of(graph).unwrap().groups.iter().map(|group| group.channels.len()).collect()
}

fn image(b: &mut Builder) -> ValueId {
    b.input("image", [1.into(), 3.into(), 8.into(), 8.into()])
}

fn conv(b: &mut Builder, x: ValueId, name: &str, channels: usize) -> ValueId {
    b.conv(x, name, channels, Window::same(3, 1), 1, true).unwrap()
}

fn fixed(dims: &[usize]) -> Op {
    Op::Reshape { dims: dims.iter().map(|&n| ReshapeDim::Fixed(n)).collect() }
}

fn linear(b: &mut Builder, x: ValueId, name: &str, from: usize, to: usize) -> ValueId {
    let seed = name.bytes().map(u64::from).sum();
    let weight = b.constant(&format!("{name}.weight"), random_tensor(&[from, to], seed));
    let bias = b.constant(&format!("{name}.bias"), random_tensor(&[to], seed + 1));
    let x = b.apply(name, Op::MatMul, &[x, weight]).unwrap();
    b.apply(&format!("{name}.add"), Op::Binary(Binary::Add), &[x, bias]).unwrap()
}

/// Heads and their widths shrink apart from each other: queries with keys, values on their own.
#[test]
fn attention() {
    let mut b = Builder::new("attention", 1);
    let x = image(&mut b);
    let x = conv(&mut b, x, "embed", 24);
    let x = b.apply("tokens", fixed(&[1, 24, 64]), &[x]).unwrap();
    let x = b.apply("rows", Op::Transpose { perm: vec![0, 2, 1] }, &[x]).unwrap();
    let heads = |b: &mut Builder, x: ValueId, name: &str, perm: [usize; 4]| {
        let y = linear(b, x, name, 24, 24);
        let y = b.apply(&format!("{name}.split"), fixed(&[1, 64, 4, 6]), &[y]).unwrap();
        b.apply(&format!("{name}.heads"), Op::Transpose { perm: perm.to_vec() }, &[y]).unwrap()
    };
    let q = heads(&mut b, x, "q", [0, 2, 1, 3]);
    let k = heads(&mut b, x, "k", [0, 2, 3, 1]);
    let v = heads(&mut b, x, "v", [0, 2, 1, 3]);
    let scores = b.apply("scores", Op::MatMul, &[q, k]).unwrap();
    let scores = b.apply("softmax", Op::Softmax { axis: 3 }, &[scores]).unwrap();
    let y = b.apply("mix", Op::MatMul, &[scores, v]).unwrap();
    let y = b.apply("back", Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]).unwrap();
    let y = b.apply("join", fixed(&[1, 64, 24]), &[y]).unwrap();
    let y = linear(&mut b, y, "out", 24, 24);
    let y = b.apply("residual", Op::Binary(Binary::Add), &[x, y]).unwrap();
    let y = linear(&mut b, y, "head", 24, 5);
    let graph = b.finish(&[y]).unwrap();
    let mut sizes = sizes(&graph);
    sizes.sort_unstable();
    // Heads; widths of queries and keys, of values; the residual stream.
    assert_eq!(sizes, [4, 6, 6, 24]);
    check("attention", &graph, 1e-6);
}

/// A shuffle spelled as Reshape, Transpose, Reshape with another factor than the layers' groups.
#[test]
fn shuffles_groups_and_blocks_of_pixels() {
    let mut b = Builder::new("shuffles", 2);
    let x = image(&mut b);
    let x = conv(&mut b, x, "first", 24);
    let x = b.conv(x, "grouped", 24, Window::same(3, 1), 4, true).unwrap();
    let x = b.apply("split", fixed(&[1, 4, 6, 8, 8]), &[x]).unwrap();
    let x = b.apply("turn", Op::Transpose { perm: vec![0, 2, 1, 3, 4] }, &[x]).unwrap();
    let x = b.apply("join", fixed(&[1, 24, 8, 8]), &[x]).unwrap();
    let x = conv(&mut b, x, "wide", 32);
    let order = DepthOrder::Crd;
    let x = b.apply("pixels", Op::DepthToSpace { block: 2, order }, &[x]).unwrap();
    let x = conv(&mut b, x, "last", 4);
    let graph = b.finish(&[x]).unwrap();
    let groups = Channels::of(&graph).unwrap().groups;
    assert!(groups.iter().any(|g| g.name == "wide" && g.channels.len() == 8 && g.width() == 4));
    assert!(groups.iter().any(|g| g.name == "grouped" || g.name == "first"));
    check("shuffles", &graph, 1e-6);
}

/// Parts of concatenations, strided cuts, padding of channels and flattened maps keep their place.
#[test]
fn places_follow_what_is_left() {
    let mut b = Builder::new("places", 3);
    let x = image(&mut b);
    let (p, q) = (conv(&mut b, x, "p", 10), conv(&mut b, x, "q", 14));
    let joined = b.concat(&[p, q], 1).unwrap();
    let cut = |start, len, step| Op::Slice { cuts: vec![Cut { axis: 1, start, len, step }] };
    let odd = b.apply("odd", cut(1, 12, 2), &[joined]).unwrap();
    let front = b.apply("front", cut(0, 12, 1), &[joined]).unwrap();
    let sum = b.apply("sum", Op::Binary(Binary::Add), &[odd, front]).unwrap();
    let pad = |n| vec![0, n, 0, 0];
    let mode = PadMode::Constant(0.0);
    let padded = Op::Pad { before: pad(2), after: pad(3), mode };
    let wide = b.apply("padded", padded, &[sum]).unwrap();
    let other = conv(&mut b, x, "other", 17);
    let x = b.apply("mixed", Op::Binary(Binary::Add), &[wide, other]).unwrap();
    let x = b.apply("flat", Op::Flatten { axis: 1 }, &[x]).unwrap();
    let x = b.linear(x, "linear", 20).unwrap();
    let picks = b.constant("picks", Tensor::vector(vec![19i64, 3, 3, -7]));
    let x = b.apply("pick", Op::Gather { axis: 1 }, &[x, picks]).unwrap();
    let x = b.linear(x, "last", 4).unwrap();
    let graph = b.finish(&[x]).unwrap();
    check("places", &graph, 1e-6);
}

#[test]
fn what_is_mixed_or_seen_stays() {
    let mut b = Builder::new("pinned", 4);
    let x = image(&mut b);
    let x = conv(&mut b, x, "soft", 12);
    let x = b.apply("softmax", Op::Softmax { axis: 1 }, &[x]).unwrap();
    let x = conv(&mut b, x, "free", 12);
    let x = conv(&mut b, x, "seen", 12);
    let graph = b.finish(&[x]).unwrap();
    let channels = Channels::of(&graph).unwrap();
    assert_eq!(sizes(&graph), [12]);
    assert_eq!(channels.groups[0].name, "free");
    let why = |node: &str| channels.pinned.iter().find(|p| p.node == node).unwrap();
    assert_eq!(why("soft").by.as_deref(), Some("soft.softmax"));
    assert_eq!(why("soft").why, "sums to 1 over it");
    assert_eq!(why("seen").why, "is the model's output");
    assert!(channels.pinned.iter().all(|pinned| pinned.node != "free"));
}

/// A mean over channels changes with their number: such groups say so.
#[test]
fn groups_under_a_mean_are_not_exact() {
    let mut b = Builder::new("means", 5);
    let x = image(&mut b);
    let x = conv(&mut b, x, "first", 12);
    let x = b.group_norm(x, "norm", 3, 1e-5).unwrap();
    let x = conv(&mut b, x, "second", 12);
    let x = b.apply("relu", Op::RELU, &[x]).unwrap();
    let x = conv(&mut b, x, "third", 3);
    let channels = Channels::of(&b.finish(&[x]).unwrap()).unwrap();
    let exact: Vec<(&str, usize, bool)> =
        channels.groups.iter().map(|g| (g.name.as_str(), g.channels.len(), g.exact)).collect();
    // Whole groups of the norm, places in each of them, and the channels behind it.
    assert_eq!(exact.len(), 3);
    assert!(exact.contains(&("first", 4, false)) && exact.contains(&("second", 12, true)));
    let roles = |group: usize| channels.groups[group].members.iter().map(|m| m.role);
    assert!(roles(0).any(|role| role == Role::Scale));
}
