//! A problem and a network small enough to be trained many times in a test.

use std::sync::Arc;

use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Graph, Window};
use edgecut_train::data::{Dataset, Memory, Preprocess};
use edgecut_train::{Optimizer, TrainConfig};

pub const SIDE: usize = 8;

/// `len` noisy pictures with a bright bar: across, upright or along the diagonal.
pub fn bars(len: usize, seed: u64) -> Arc<dyn Dataset> {
    let mut rng = Rng::new(seed);
    let mut pixels = vec![];
    let labels: Vec<u32> = (0..len).map(|i| (i % 3) as u32).collect();
    for label in &labels {
        let at = 1 + rng.below(SIDE - 2);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let lit = match label {
                    0 => y == at,
                    1 => x == at,
                    _ => (x + at) % SIDE == y,
                };
                pixels.push(rng.below(80) as u8 + if lit { 150 } else { 0 });
            }
        }
    }
    let classes = ["across", "upright", "diagonal"].map(String::from).to_vec();
    Arc::new(Memory::new(pixels, labels, [SIDE, SIDE, 1], classes).unwrap())
}

pub fn preprocess() -> Preprocess {
    Preprocess::plain([SIDE, SIDE, 1], vec![0.3], vec![0.3])
}

/// A stem, an inverted residual and a classifier.
pub fn network(seed: u64) -> Graph {
    with_classes(seed, 3)
}

/// The same for another number of classes.
pub fn with_classes(seed: u64, classes: usize) -> Graph {
    let mut b = Builder::new("toy", seed);
    let x = b.input("image", ["n".into(), 1.into(), SIDE.into(), SIDE.into()]);
    let x = b.conv(x, "stem", 8, Window::same(3, 1), 1, false).unwrap();
    let x = b.batch_norm(x, "stem_bn").unwrap();
    let x = b.relu6(x).unwrap();
    let y = b.conv(x, "expand", 24, Window::new([1, 1], [1, 1]), 1, false).unwrap();
    let y = b.batch_norm(y, "expand_bn").unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "depthwise", 24, Window::same(3, 1), 24, false).unwrap();
    let y = b.batch_norm(y, "depthwise_bn").unwrap();
    let y = b.relu6(y).unwrap();
    let y = b.conv(y, "project", 8, Window::new([1, 1], [1, 1]), 1, false).unwrap();
    let y = b.batch_norm(y, "project_bn").unwrap();
    let x = b.add(x, y).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classifier", classes).unwrap();
    b.finish(&[x]).unwrap()
}

/// Two convolutions and a classifier.
pub fn without_batch_norm(seed: u64) -> Graph {
    let mut b = Builder::new("plain", seed);
    let x = b.input("image", ["n".into(), 1.into(), SIDE.into(), SIDE.into()]);
    let x = b.conv(x, "first", 8, Window::same(3, 2), 1, true).unwrap();
    let x = b.relu6(x).unwrap();
    let x = b.conv(x, "second", 8, Window::same(3, 1), 8, true).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "classifier", 3).unwrap();
    b.finish(&[x]).unwrap()
}

pub fn config(epochs: usize) -> TrainConfig {
    TrainConfig {
        epochs,
        batch: 12,
        lr: 0.05,
        optimizer: Optimizer::SGD,
        ema_decay: Some(0.9),
        seed: 5,
        ..TrainConfig::default()
    }
}

/// The bytes of all constants of a graph.
pub fn bytes(graph: &Graph) -> Vec<u8> {
    let constants = graph.values().iter().filter_map(|v| v.constant.as_ref());
    constants.flat_map(|t| t.to_f32()).flat_map(f32::to_le_bytes).collect()
}
