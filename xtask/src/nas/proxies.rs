//! Own zero-cost proxies beside published ones on networks of NAS-Bench-201.
//!
//! The published scores are those of NAS-Bench-Suite-Zero (Krishnakumar et al. 2022, arXiv:2210.03230,
//! computed with NASLib): PyTorch's default weights, a batch of 64 training pictures of CIFAR-10,
//! BatchNorm by the statistics of the batch and, for synflow, none and its logarithm; -1e8 where a score
//! is none. Weights and pictures were others for each cell, so that ranks can agree up to that noise.
//! Parameters are counted in millions.
//!
//! Their `flops` are TensorWatch's, in millions: the multiply-adds of convolutions and products, and
//! beside them what [`beside_products`] counts.

use std::path::{Path, PathBuf};
use std::time::Instant;

use edgecut_graph::cost::cost;
use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Node, Op};
use edgecut_search::proxy::{Proxy, ProxyOptions, WARM_START};
use edgecut_search::rank::{mean_ranks, spearman};
use edgecut_testkit::nas_bench_201::Cell;
use edgecut_train::data::{Batch, Preprocess};

use crate::cli::above_0;

use super::bench201::{Table, unpack};

/// Pictures of a batch, as published.
const BATCH: usize = 64;
const CLASSES: usize = 10;
/// A picture of CIFAR-10: its label and 3 planes of 32 x 32 pixels.
const SIDE: usize = 32;
const RECORD: usize = 1 + 3 * SIDE * SIDE;
const PICTURES: &str = "sets/cifar10_lossless_train3000.bin.zst";
const ACCURACY: &str = "c10_val_12ep";

/// Proxies that are published, their columns, and the least correlation.
const PUBLISHED: [(Proxy, &str, f64); 3] = [
    (Proxy::SynFlow, "zc_synflow", 0.95),
    (Proxy::NasWot, "zc_nwot", 0.85),
    (Proxy::JacobCov, "zc_jacov", 0.85),
];

/// Score networks of NAS-Bench-201 by zero-cost proxies beside published scores
///
/// Parameters and multiply-adds must be equal, the others are compared by Spearman's rank correlation, which
/// must be at least 0.95 for synflow and 0.85 for NASWOT and Jacobian covariance. It also shows how well
/// each proxy ranks the accuracy after 12 epochs.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask nas-proxies ../shared/data")]
pub struct Settings {
    /// Folder of shared data: it has nas/nasbench201_12epoch_hw.csv.zst and
    /// sets/cifar10_lossless_train3000.bin.zst
    data: PathBuf,
    /// Different cells, drawn at random
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = above_0::<usize>)]
    cells: usize,
    /// Of cells, pictures and weights
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    threads: usize,
}

/// What is known of one cell: published numbers and own scores.
struct Scored {
    accuracy: f64,
    published: Vec<f64>,
    own: Vec<f64>,
}

/// Runs the task; an error where a score disagrees.
pub fn run(settings: &Settings) -> Result<(), String> {
    let table = Table::read(&settings.data.join("nas"))?;
    let batch = pictures(&settings.data, settings.seed)?;
    let column = |name: &str| table.column(name);
    let (parameters, flops) = (column("zc_params")?, column("zc_flops")?);
    let accuracy = column(ACCURACY)?;
    let scores = PUBLISHED.map(|(_, name, _)| column(name));
    let scores: Vec<Vec<Option<f64>>> = scores.into_iter().collect::<Result<_, _>>()?;
    let mut chosen: Vec<usize> = (0..table.cells.len()).filter(|&i| flops[i].is_some()).collect();
    Rng::keyed(&[settings.seed, 1]).shuffle(&mut chosen);
    // Ranks need two.
    chosen.truncate(settings.cells.max(2));
    let options = ProxyOptions { seed: settings.seed, threads: settings.threads };
    let (mut scored, mut wrong, start) = (vec![], vec![], Instant::now());
    for (count, &i) in chosen.iter().enumerate() {
        let text = &table.cells[i];
        let cell = Cell::parse(text).ok_or_else(|| format!("'{text}' is no cell"))?;
        let graph = cell.network(CLASSES).map_err(|e| e.to_string())?;
        let counts = [millions(parameters[i]), millions(flops[i])];
        wrong.extend(counted(&graph)?.ne(&counts).then(|| text.clone()));
        let score = |proxy: Proxy| proxy.score(&graph, &batch, &options);
        let own: Result<Vec<f64>, _> = Proxy::ALL.into_iter().map(score).collect();
        scored.push(Scored {
            accuracy: accuracy[i].unwrap_or(f64::NAN),
            published: scores.iter().map(|column| column[i].unwrap_or(f64::NAN)).collect(),
            own: own.map_err(|e| format!("{text}: {e}"))?,
        });
        if (count + 1) % 25 == 0 {
            let seconds = start.elapsed().as_secs_f64();
            eprintln!("{} of {} cells, {seconds:.0} s", count + 1, chosen.len());
        }
    }
    report(&scored, &wrong)
}

/// Prints the agreement; fails where it is too small.
fn report(scored: &[Scored], wrong: &[String]) -> Result<(), String> {
    let own = |proxy: Proxy| -> Vec<f64> {
        let at = Proxy::ALL.iter().position(|&p| p == proxy).unwrap_or(0);
        scored.iter().map(|cell| cell.own[at]).collect()
    };
    let accuracy: Vec<f64> = scored.iter().map(|cell| cell.accuracy).collect();
    let exact = scored.len() - wrong.len();
    println!("{} cells of NAS-Bench-201", scored.len());
    println!("parameters and operations as published: {exact} of {}", scored.len());
    let mut problems: Vec<String> =
        wrong.iter().map(|cell| format!("{cell}: other counts than published")).collect();
    println!("{:10}  {:>9}  {:>8}  {:>12}", "", "published", "accuracy", "(published's)");
    for (index, (proxy, _, least)) in PUBLISHED.into_iter().enumerate() {
        let published: Vec<f64> = scored.iter().map(|cell| cell.published[index]).collect();
        let agreement = spearman(&own(proxy), &published);
        let (ours, theirs) = (spearman(&own(proxy), &accuracy), spearman(&published, &accuracy));
        println!("{:10}  {agreement:9.3}  {ours:8.3}  {theirs:12.3}", proxy.name());
        if agreement < least {
            problems.push(format!("{}: {agreement:.3}, needs {least}", proxy.name()));
        }
    }
    for proxy in [Proxy::Parameters, Proxy::Macs, Proxy::Zico] {
        println!("{:10}  {:>9}  {:8.3}", proxy.name(), "", spearman(&own(proxy), &accuracy));
    }
    let together = mean_ranks(&WARM_START.map(own));
    println!("{:10}  {:>9}  {:8.3}", "together", "", spearman(&together, &accuracy));
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}

/// A published number of millions, which has six digits behind the point.
fn millions(value: Option<f64>) -> u64 {
    (value.unwrap_or(0.0) * 1e6).round() as u64
}

/// Parameters and operations as the table counts them.
fn counted(graph: &Graph) -> Result<[u64; 2], String> {
    let cost = cost(graph, 1).map_err(|e| e.to_string())?;
    let beside: u64 = graph.nodes.iter().map(|node| beside_products(graph, node)).sum();
    Ok([cost.parameters, cost.macs + beside])
}

/// What TensorWatch counts beside multiply-adds: 2 for each element of BatchNorm, 1 for each of an
/// activation, the window for each element that pooling returns, and (h + 1) (w + 1) for each mean over
/// h x w pixels.
fn beside_products(graph: &Graph, node: &Node) -> u64 {
    let shape = |id| graph.value(id).shape.with_symbols(1);
    let output: usize = shape(node.output()).iter().product();
    let count = match &node.op {
        Op::BatchNorm { .. } => 2 * output,
        Op::Unary(_) => output,
        Op::AveragePool(pool) => output * pool.window.kernel.iter().product::<usize>(),
        Op::GlobalAveragePool => {
            let input = node.input(0).map(shape).unwrap_or_default();
            input[2..].iter().map(|extent| extent + 1).product::<usize>() * output
        }
        _ => 0,
    };
    count as u64
}

/// A batch of CIFAR-10's pictures, drawn from `seed`.
fn pictures(data: &Path, seed: u64) -> Result<Batch, String> {
    let bytes = unpack(&data.join(PICTURES))?;
    let mut records: Vec<&[u8]> = bytes.chunks_exact(RECORD).collect();
    Rng::keyed(&[seed, 2]).shuffle(&mut records);
    records.truncate(BATCH);
    let Preprocess { scale, mean, std, .. } = Preprocess::cifar(SIDE);
    let mut batch = Batch { n: records.len(), ..Batch::default() };
    for record in records {
        batch.labels.push(u32::from(record[0]));
        for pixel in 0..SIDE * SIDE {
            let value = |c: usize| f32::from(record[1 + c * SIDE * SIDE + pixel]);
            batch.x.extend((0..3).map(|c| (value(c) * scale - mean[c]) / std[c]));
        }
    }
    Ok(batch)
}
