//! Importances that gradients give say what happens to the loss.

use std::sync::Arc;

use edgecut_compress::prune::{Channels, Evidence, Importance, Role};
use edgecut_compress::{CompressError, Control, Images};
use edgecut_graph::{Builder, Graph, Op, Tensor, Window, onnx};
use edgecut_kernels::Pool;
use edgecut_testkit::{random_inputs, random_tensor, randomise_statistics};

use crate::common::{outputs, zoo};

/// Pictures with classes.
struct Labelled {
    images: Vec<Tensor>,
    labels: Vec<u32>,
}

impl Images for Labelled {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, index: usize) -> edgecut_compress::Result<Tensor> {
        Ok(self.images[index].clone())
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied()
    }
}

fn labelled(graph: &Graph, count: usize) -> Labelled {
    let image = |seed| random_inputs(graph, 1, seed as u64).swap_remove(0);
    Labelled { images: (0..count).map(image).collect(), labels: (0..count as u32).collect() }
}

fn scores(
    channels: &Channels,
    importance: Importance,
    images: &dyn Images,
) -> edgecut_compress::Result<Vec<Vec<f64>>> {
    let (pool, control) = (Arc::new(Pool::new(2)), Control::unlimited());
    let evidence = Evidence { images: Some(images), seed: 0, pool: &pool, control: &control };
    channels.scores(importance, &evidence)
}

/// A residual net with a depthwise layer, a concatenation and a classifier.
pub fn net() -> Graph {
    let mut b = Builder::new("net", 3);
    let image = b.input("image", [1.into(), 3.into(), 6.into(), 6.into()]);
    let conv = |b: &mut Builder, x, name: &str, maps, groups| {
        let y = b.conv(x, name, maps, Window::same(3, 1), groups, false).unwrap();
        b.batch_norm(y, &format!("{name}.norm")).unwrap()
    };
    let x = conv(&mut b, image, "stem", 4, 1);
    let stem = b.relu(x).unwrap();
    let x = conv(&mut b, stem, "wide", 6, 1);
    let x = b.relu6(x).unwrap();
    let x = conv(&mut b, x, "depthwise", 6, 6);
    let x = b.relu6(x).unwrap();
    let x = conv(&mut b, x, "narrow", 4, 1);
    let x = b.add(x, stem).unwrap();
    let side = conv(&mut b, stem, "side", 3, 1);
    let x = b.concat(&[x, side], 1).unwrap();
    let x = conv(&mut b, x, "last", 5, 1);
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classifier", 4).unwrap();
    let mut graph = b.finish(&[x]).unwrap();
    randomise_statistics(&mut graph, 7);
    graph
}

/// The cross entropy of the graph's answer to an image of class `label`.
fn loss(graph: &Graph, image: &Tensor, label: u32) -> f64 {
    let logits: Vec<f64> =
        outputs(graph, std::slice::from_ref(image))[0].to_f32().iter().map(|&v| v.into()).collect();
    let most = logits.iter().copied().fold(f64::MIN, f64::max);
    let sum: f64 = logits.iter().map(|v| (v - most).exp()).sum();
    sum.ln() + most - logits[label as usize]
}

/// The graph of `channels` in which the weights that read channel `number` of group `at` are
/// multiplied by `factor`; of the single weight with number `only` where that is given.
fn scaled(
    channels: &Channels,
    (at, number): (usize, usize),
    factor: f32,
    only: Option<usize>,
) -> Graph {
    let mut graph = channels.graph().clone();
    let group = &channels.groups[at];
    let mut seen = 0;
    for (member, indices) in group.members.iter().zip(&group.channels[number].indices) {
        if member.role != Role::Reads {
            continue;
        }
        let tensor = graph.constant(member.value).unwrap().clone();
        let shape = tensor.shape().to_vec();
        let inner: usize = shape[member.dim + 1..].iter().product();
        let mut values = tensor.to_f32().to_vec();
        for (place, value) in values.iter_mut().enumerate() {
            if indices.contains(&(place / inner % shape[member.dim])) {
                if only.is_none_or(|only| only == seen) {
                    *value *= factor;
                }
                seen += 1;
            }
        }
        graph.set_constant(member.value, Tensor::new(shape, values).unwrap());
    }
    graph
}

/// How many weights read a channel.
fn readers(channels: &Channels, (at, number): (usize, usize)) -> usize {
    let group = &channels.groups[at];
    let members = group.members.iter().zip(&group.channels[number].indices);
    let reads = members.filter(|(member, _)| member.role == Role::Reads);
    reads
        .map(|(member, indices)| {
            let tensor = channels.graph().constant(member.value).unwrap();
            indices.len() * tensor.len() / tensor.shape()[member.dim]
        })
        .sum()
}

/// Half the difference of the loss between weights a little larger and a little smaller, over the
/// step: the derivative by the logarithm of the weights.
fn slope(
    channels: &Channels,
    of: (usize, usize),
    only: Option<usize>,
    image: &Tensor,
    label: u32,
) -> f64 {
    let at = |factor| loss(&scaled(channels, of, factor, only), image, label);
    let step = 1.0 / 128.0;
    (at(1.0 + step) - at(1.0 - step)) / f64::from(2.0 * step)
}

#[test]
fn first_order_is_the_slope_of_the_loss_as_a_channel_fades() {
    let graph = net();
    let channels = Channels::of(&graph).unwrap();
    assert!(channels.groups.len() >= 4);
    let images = labelled(&graph, 3);
    let scores = scores(&channels, Importance::Taylor, &images).unwrap();
    let largest = scores.iter().flatten().copied().fold(0.0, f64::max);
    for (at, group) in channels.groups.iter().enumerate() {
        for (number, &score) in scores[at].iter().enumerate() {
            let each = images.images.iter().zip(&images.labels);
            let slopes = each.map(|(x, &y)| slope(&channels, (at, number), None, x, y).abs());
            let expected = slopes.sum::<f64>() / 3.0;
            let error = (score - expected).abs();
            let group = &group.name;
            assert!(error < 2e-3 * largest, "{group}: {score} not {expected}");
        }
    }
}

#[test]
fn second_order_is_the_sum_of_squared_slopes_of_weights() {
    let graph = net();
    let channels = Channels::of(&graph).unwrap();
    let images = labelled(&graph, 2);
    let scores = scores(&channels, Importance::Hessian, &images).unwrap();
    for (at, group) in channels.groups.iter().enumerate() {
        let mut expected = 0.0;
        for (image, &label) in images.images.iter().zip(&images.labels) {
            let weights = 0..readers(&channels, (at, 1));
            let square = |w| 0.5 * slope(&channels, (at, 1), Some(w), image, label).powi(2);
            expected += weights.map(square).sum::<f64>() / 2.0;
        }
        let (found, group) = (scores[at][1], &group.name);
        assert!((found - expected).abs() < 2e-2 * expected + 1e-7, "{group}: {found} {expected}");
    }
}

/// The importance predicts what zeroing a channel does where weights are small.
#[test]
fn a_small_channel_is_worth_what_the_loss_rises_or_falls_without_it() {
    let mut graph = net();
    let last = graph.nodes.iter().find(|node| node.name == "last").unwrap();
    let weight = last.input(1).unwrap();
    let tensor = graph.constant(weight).unwrap().clone();
    let small: Vec<f32> = tensor.to_f32().iter().map(|w| 0.02 * w).collect();
    graph.set_constant(weight, Tensor::new(tensor.shape(), small).unwrap());
    let channels = Channels::of(&graph).unwrap();
    let images = labelled(&graph, 1);
    let scores = scores(&channels, Importance::Taylor, &images).unwrap();
    let at = channels.groups.iter().position(|group| group.name == "side").unwrap();
    for (number, &score) in scores[at].iter().enumerate() {
        let (image, label) = (&images.images[0], images.labels[0]);
        let without = loss(&scaled(&channels, (at, number), 0.0, None), image, label);
        let change = (without - loss(&graph, image, label)).abs();
        assert!((score - change).abs() < 0.1 * change + 1e-5, "{score}, not {change}");
    }
}

/// No weight that counts is missed, on any network of the zoo but the largest, which hold nothing else.
#[test]
fn every_weight_of_every_network_has_its_gradient() {
    for (name, graph) in zoo().filter(|(_, graph)| onnx::to_bytes(graph).unwrap().len() < 24 << 20)
    {
        let channels = Channels::of(&graph).unwrap();
        let images = labelled(&graph, 1);
        let found = scores(&channels, Importance::Taylor, &images);
        let found = found.unwrap_or_else(|e| panic!("{name}: {e}"));
        for (group, scores) in channels.groups.iter().zip(&found) {
            assert!(scores.iter().all(|s| s.is_finite()), "{name}: {}", group.name);
            assert!(scores.iter().any(|s| *s > 0.0), "{name}: {} is all zero", group.name);
        }
    }
}

#[test]
fn what_is_missing_is_said() {
    let graph = net();
    let channels = Channels::of(&graph).unwrap();
    let wrong = |images: &dyn Images| scores(&channels, Importance::Hessian, images).unwrap_err();
    let unlabelled = labelled(&graph, 1).images;
    assert!(matches!(wrong(&unlabelled), CompressError::NoLabels));
    let unknown = Labelled { images: unlabelled, labels: vec![9] };
    assert!(matches!(wrong(&unknown), CompressError::NoLabels));
    let other = Labelled { images: vec![random_tensor(&[1, 3, 9, 9], 1)], labels: vec![0] };
    assert!(matches!(wrong(&other), CompressError::NoLabels));
    // A softmax over channels is no classifier of pictures.
    let mut b = Builder::new("map", 1);
    let x = b.input("image", [1.into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "first", 4, Window::same(3, 1), 1, true).unwrap();
    let x = b.conv(x, "second", 4, Window::same(3, 1), 1, true).unwrap();
    let x = b.apply("softmax", Op::Softmax { axis: 1 }, &[x]).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let channels = Channels::of(&graph).unwrap();
    let found = scores(&channels, Importance::Taylor, &labelled(&graph, 1)).unwrap_err();
    assert!(matches!(found, CompressError::Train(_)), "{found}");
}
