//! Networks that share weights, on pictures that a small network learns in seconds.

#[path = "common/stripes.rs"]
mod stripes;

use std::collections::BTreeMap;
use std::time::Duration;

use edgecut_graph::interpret::run;
use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Graph, Tensor, Window};
use edgecut_kernels::Isa;
use edgecut_search::supernet::{Family, Judge, Pictures, Sandwich, SharedWeights, Subnet, train};
use edgecut_search::{Result, SearchError};
use edgecut_train::config::{CheckpointOptions, RunOptions, TrainConfig};
use edgecut_train::progress::Control;

use stripes::{SIDE, preprocess, stripes};

/// Two convolutions of elastic width and filter, and pictures of elastic size.
struct Toy;

impl Toy {
    fn net(&self, [side, width, kernel]: [usize; 3]) -> Result<Graph> {
        let mut b = Builder::new(format!("toy-{side}-{width}-{kernel}"), 7);
        let x = b.input("x", ["n".into(), 1.into(), side.into(), side.into()]);
        let x = b.conv(x, "first", 2 * width, Window::same(kernel, 2), 1, false)?;
        let x = b.batch_norm(x, "first.bn")?;
        let x = b.relu(x)?;
        let x = b.conv(x, "depthwise", 2 * width, Window::same(kernel, 1), 2 * width, false)?;
        let x = b.batch_norm(x, "depthwise.bn")?;
        let x = b.relu(x)?;
        let x = b.conv(x, "second", width, Window::same(1, 1), 1, true)?;
        let x = b.batch_norm(x, "second.bn")?;
        let x = b.relu(x)?;
        let x = b.global_average_pool(x)?;
        let x = b.flatten(x)?;
        let y = b.linear(x, "classifier", 4)?;
        Ok(b.finish(&[y])?)
    }
}

impl Family for Toy {
    fn largest(&self) -> Result<Vec<Graph>> {
        Ok(vec![self.net([SIDE, 16, 5])?])
    }

    fn smallest(&self) -> Result<Graph> {
        self.net([8, 4, 3])
    }

    fn random(&self, rng: &mut Rng) -> Result<Graph> {
        let side = [8, SIDE][rng.below(2)];
        self.net([side, 4 * (1 + rng.below(4)), [3, 5][rng.below(2)]])
    }
}

fn sandwich(epochs: usize) -> Sandwich {
    let config =
        TrainConfig { epochs, batch: 32, lr: 0.1, ema_decay: None, ..TrainConfig::default() };
    Sandwich { config, random: 2 }
}

fn options(threads: usize) -> RunOptions {
    RunOptions { threads, ..RunOptions::default() }
}

fn trained(epochs: usize, threads: usize) -> SharedWeights {
    let (set, preprocess) = (stripes(256, 1), preprocess());
    let data = (&set, &preprocess);
    let go_on = &mut |_: &_| Control::Continue;
    let (weights, completed) =
        train(&Toy, data, &sandwich(epochs), &options(threads), go_on).unwrap();
    assert!(completed);
    weights
}

/// A subnet computes what a graph with the sliced constants computes in the interpreter, with the
/// statistics that it collected.
#[test]
fn subnets_are_slices_of_the_shared_weights() {
    let weights = SharedWeights::new(&Toy.largest().unwrap()).unwrap();
    let set = stripes(48, 2);
    let pictures = Pictures::prepare(&set, &preprocess(), 16, 40).unwrap();
    assert_eq!((pictures.len(), pictures.batches().len()), (40, 3));
    let small = Toy.net([SIDE, 8, 3]).unwrap();
    let mut subnet = Subnet::new(small, &weights, 16, (1, Isa::detect())).unwrap();
    subnet.calibrate(&pictures).unwrap();
    let graph = subnet.graph().unwrap();

    let largest = Toy.largest().unwrap().remove(0);
    let constant = |graph: &Graph, name: &str| -> Tensor {
        graph.constant(graph.find_value(name).unwrap()).unwrap().clone()
    };
    let (whole, part) = (constant(&largest, "first.weight"), constant(&graph, "first.weight"));
    assert_eq!((whole.shape(), part.shape()), (&[32, 1, 5, 5][..], &[16, 1, 3, 3][..]));
    let (whole, part) = (whole.to_f32(), part.to_f32());
    for (place, &value) in part.iter().enumerate() {
        let (m, row, column) = (place / 9, place / 3 % 3, place % 3);
        assert_eq!(value, whole[m * 25 + (row + 1) * 5 + column + 1]);
    }

    let mut hits = 0;
    for batch in pictures.batches() {
        let x = Tensor::new([batch.n, 1, SIDE, SIDE], batch.x.clone()).unwrap();
        let y = run(&graph, &[x]).unwrap().remove(0).to_f32();
        let best = |row: &[f32]| (0..4).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let rows = y.chunks_exact(4).zip(&batch.labels);
        hits += rows.filter(|(row, label)| best(row) == **label as usize).count();
    }
    assert_eq!(subnet.score(&pictures, usize::MAX).unwrap().top1, hits as u64);
}

/// Mean and variance that a subnet collects for its first BatchNorm are those of the convolution's
/// output over the batches.
#[test]
fn statistics_are_means_over_the_batches() {
    let weights = SharedWeights::new(&Toy.largest().unwrap()).unwrap();
    let pictures = Pictures::prepare(&stripes(32, 3), &preprocess(), 16, 32).unwrap();
    let net = Toy.net([SIDE, 4, 3]).unwrap();
    let mut subnet = Subnet::new(net, &weights, 16, (1, Isa::detect())).unwrap();
    subnet.calibrate(&pictures).unwrap();
    let mut graph = subnet.graph().unwrap();
    let found = |name: &str| graph.constant(graph.find_value(name).unwrap()).unwrap().to_f32();
    let (mean, variance) = (found("first.bn.running_mean"), found("first.bn.running_var"));
    let conv = graph.nodes.iter().find(|node| node.name.contains("first")).unwrap();
    graph.outputs = vec![conv.outputs[0]];
    let mut expected = BTreeMap::new();
    for batch in pictures.batches() {
        let x = Tensor::new([batch.n, 1, SIDE, SIDE], batch.x.clone()).unwrap();
        let y = run(&graph, &[x]).unwrap().remove(0).to_f32();
        let map = y.len() / batch.n / 8;
        for channel in 0..8 {
            let values = (0..batch.n).flat_map(|n| &y[(n * 8 + channel) * map..][..map]);
            let values: Vec<f64> = values.map(|&v| v.into()).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
            let sums = expected.entry(channel).or_insert((0.0, 0.0));
            *sums = (sums.0 + mean / 2.0, sums.1 + square / (values.len() - 1) as f64 / 2.0);
        }
    }
    for (channel, (m, v)) in expected {
        assert!((f64::from(mean[channel]) - m).abs() < 1e-4, "{} {m}", mean[channel]);
        assert!((f64::from(variance[channel]) - v).abs() < 1e-3 * v, "{} {v}", variance[channel]);
    }
}

#[test]
fn all_subnets_learn_together() {
    let weights = trained(12, 2);
    let calibration = Pictures::prepare(&stripes(256, 1), &preprocess(), 64, 128).unwrap();
    let pictures = Pictures::prepare(&stripes(200, 9), &preprocess(), 64, 200).unwrap();
    let machine = (1, Isa::detect());
    let judge =
        Judge { weights: &weights, calibration: &calibration, pictures: &pictures, machine };
    for net in [[SIDE, 16, 5], [SIDE, 8, 3], [8, 12, 5], [8, 4, 3]] {
        let counts = judge.judge(Toy.net(net).unwrap().into()).unwrap();
        assert!(counts.accuracy() > 0.8, "{net:?}: {}", counts.accuracy());
    }
}

#[test]
fn threads_change_no_bit() {
    assert_eq!(trained(1, 1), trained(1, 2));
}

#[test]
fn training_goes_on_where_it_was_stopped() {
    let (set, preprocess) = (stripes(256, 1), preprocess());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.checkpoint");
    let every = Duration::from_secs(3600);
    let checkpoint = Some(CheckpointOptions { every, ..CheckpointOptions::new(&path) });
    let options = RunOptions { checkpoint, ..options(1) };
    let run = |stop: u64| {
        let observe = &mut |progress: &edgecut_search::supernet::SandwichProgress| {
            if progress.steps[0] == stop { Control::Stop } else { Control::Continue }
        };
        train(&Toy, (&set, &preprocess), &sandwich(2), &options, observe).unwrap()
    };
    assert!(!run(5).1 && !run(11).1);
    let (weights, completed) = run(0);
    assert!(completed && weights == trained(2, 1));
    let other = Sandwich { random: 1, ..sandwich(2) };
    let refused = train(&Toy, (&set, &preprocess), &other, &options, &mut |_| Control::Continue);
    assert!(refused.unwrap_err().to_string().contains("another"));
}

#[test]
fn what_shares_no_weights_is_refused_by_name() {
    let weights = SharedWeights::new(&[Toy.net([SIDE, 8, 3]).unwrap()]).unwrap();
    let wider = Toy.net([SIDE, 16, 3]).unwrap();
    let refused = Subnet::new(wider, &weights, 4, (1, Isa::detect())).err().unwrap();
    assert!(matches!(refused, SearchError::Weight { .. }));
    assert!(refused.to_string().starts_with("weight '"), "{refused}");
    let apart = [Toy.net([SIDE, 8, 5]).unwrap(), Toy.net([SIDE, 16, 3]).unwrap()];
    let refused = SharedWeights::new(&apart).unwrap_err().to_string();
    assert!(refused.contains("no network has all of its"), "{refused}");
}
