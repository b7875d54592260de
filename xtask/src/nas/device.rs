//! Predicted latencies of networks that were not measured, beside measured ones.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_device::cost::{CostModel, Estimate, Sample};
use edgecut_device::energy::EnergyModel;
use edgecut_device::{Machine, quantised};
use edgecut_graph::rng::Rng;
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Plan, compile_for};
use edgecut_search::arch::{ArchSpace, SpaceFile};
use edgecut_search::rank::spearman;
use serde::{Deserialize, Serialize};

use crate::cli::above_0;

const LEAST_HITS: f64 = 0.95;
const NEAR: f64 = 0.1;
const LEAST_CORRELATION: f64 = 0.98;
/// What a core has for itself, for the energy model: 1 MiB where nobody has measured it.
const NEAR_BYTES: usize = 1 << 20;

/// Predict the latency of networks of a search space from runs of others, and measure them
///
/// Measures random networks of a search space in float and int8, learns what networks cost from some,
/// predicts the others, and prints how many of their latencies are predicted within 10 % (at least 95 %
/// must be), and the rank correlation (at least 0.98). One thread. What was measured is kept in a file
/// when the command ends, by --seconds or done, and the same command goes on from there.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  cargo xtask nas-device --held-out 200")]
pub struct Settings {
    /// A space that comes along: mobile or families
    #[arg(long, value_name = "NAME", default_value = "mobile")]
    space: String,
    /// Networks that are learnt from, in each precision
    #[arg(long, value_name = "N", default_value_t = 50)]
    samples: usize,
    /// Networks that are predicted, in each precision
    #[arg(long, value_name = "N", default_value_t = 200)]
    held_out: usize,
    /// Milliseconds for each measurement
    #[arg(long, value_name = "MS", default_value_t = 60)]
    each: u64,
    /// Times that each is measured, of which the least counts
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = above_0::<usize>)]
    rounds: usize,
    /// Stop after so many seconds, to go on later
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,
    /// Of the networks
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Where measurements are kept
    #[arg(long, value_name = "FILE", default_value = "target/nas-device.json")]
    file: PathBuf,
}

/// What was measured so far, float and int8 of each network.
#[derive(Default, Serialize, Deserialize)]
struct Measured {
    space: String,
    seed: u64,
    each_ms: u64,
    /// Networks of a round.
    networks: usize,
    /// Measurements so far, over all rounds.
    done: usize,
    samples: Vec<[Sample; 2]>,
    /// Seconds that each network took, compilation included.
    seconds: Vec<f64>,
}

/// Runs the task; an error where predictions are off.
pub fn run(settings: &Settings) -> Result<(), String> {
    let space = space(&settings.space)?;
    let mut measured = read(settings);
    let (began, pool) = (Instant::now(), Arc::new(Pool::new(1)));
    let wanted = settings.samples + settings.held_out;
    // Rounds far apart in time, so that what disturbs one does not disturb the other.
    let all = wanted * settings.rounds;
    let time = settings.seconds.unwrap_or(f64::INFINITY);
    while measured.done < all && began.elapsed().as_secs_f64() < time {
        let (start, index) = (Instant::now(), measured.done % wanted);
        let plans = plans(&space, settings.seed, index, &pool)?;
        let each = Duration::from_millis(settings.each);
        let measure = |plan| Sample::measure(plan, &pool, each).map_err(|e| e.to_string());
        let [float, int8] = [measure(&plans[0])?, measure(&plans[1])?];
        let seconds = start.elapsed().as_secs_f64();
        match measured.samples.get_mut(index) {
            Some(before) => {
                let [a, b] = before.clone();
                *before = [a.least(float), b.least(int8)];
                measured.seconds[index] += seconds;
            }
            None => {
                measured.samples.push([float, int8]);
                measured.seconds.push(seconds);
            }
        }
        measured.done += 1;
    }
    let text = serde_json::to_vec(&measured).map_err(|e| e.to_string())?;
    std::fs::write(&settings.file, text)
        .map_err(|e| format!("{}: {e}", settings.file.display()))?;
    if measured.done < all {
        println!("{} of {all} measurements done; the same command goes on", measured.done);
        return Ok(());
    }
    report(&space, settings, &measured, &pool)
}

/// The space that comes along under `name`, for colour pictures of 32 pixels and 10 classes.
fn space(name: &str) -> Result<ArchSpace, String> {
    let file = SpaceFile::named(name).map_err(|e| e.to_string())?;
    ArchSpace::new(file, [3, 32], 10).map_err(|e| e.to_string())
}

/// Measurements of the same networks so far, if any.
fn read(settings: &Settings) -> Measured {
    let fresh = Measured {
        space: settings.space.clone(),
        seed: settings.seed,
        each_ms: settings.each,
        networks: settings.samples + settings.held_out,
        ..Measured::default()
    };
    let text = std::fs::read(&settings.file).unwrap_or_default();
    let kept: Option<Measured> = serde_json::from_slice(&text).ok();
    let run = |m: &Measured| (m.space.clone(), m.seed, m.each_ms, m.networks);
    let kept = kept.filter(|m| run(m) == run(&fresh));
    kept.unwrap_or(fresh)
}

/// Network `index` in float and in int8.
fn plans(
    space: &ArchSpace,
    seed: u64,
    index: usize,
    pool: &Arc<Pool>,
) -> Result<[Arc<Plan>; 2], String> {
    let mut rng = Rng::keyed(&[seed, index as u64]);
    let genome = space.draw(&mut rng).map_err(|e| e.to_string())?;
    let net = space.net(&genome);
    let float = net.build(0).map_err(|e| e.to_string())?;
    let int8 = quantised(&float, pool).map_err(|e| e.to_string())?;
    let [channels, height, width] = net.input;
    let shapes = [vec![1, channels, height, width]];
    let plan = |graph| compile_for(graph, &shapes, &CompileOptions::default()).map(Arc::new);
    let both = [plan(float), plan(int8)].map(|plan| plan.map_err(|e| e.to_string()));
    let [float, int8] = both;
    Ok([float?, int8?])
}

fn report(
    space: &ArchSpace,
    settings: &Settings,
    measured: &Measured,
    pool: &Arc<Pool>,
) -> Result<(), String> {
    let (learnt, held_out) = measured.samples.split_at(settings.samples);
    let seconds: f64 = measured.seconds[..settings.samples].iter().sum();
    let samples: Vec<Sample> = learnt.iter().flatten().cloned().collect();
    let fitting = Instant::now();
    let model =
        CostModel::fit(&samples, EnergyModel::default(), NEAR_BYTES).map_err(|e| e.to_string())?;
    println!("{}, one thread", Machine::this(1).cpu);
    println!(
        "learnt from {} measurements in {seconds:.0} s, and fitted in {:.1} s",
        samples.len(),
        fitting.elapsed().as_secs_f64()
    );
    let mut estimates = vec![];
    for index in settings.samples..measured.samples.len() {
        let plans = plans(space, settings.seed, index, pool)?;
        let estimate = |plan| model.estimate(plan, 1).map_err(|e| format!("network {index}: {e}"));
        estimates.push([estimate(&plans[0])?, estimate(&plans[1])?]);
    }
    let mut problems = vec![];
    for (precision, name) in ["float", "int8"].into_iter().enumerate() {
        let predicted: Vec<f64> = estimates.iter().map(|both| both[precision].ms).collect();
        let taken: Vec<f64> = held_out.iter().map(|both| both[precision].us / 1e3).collect();
        let within = |(both, &ms): (&[Estimate; 2], &f64)| {
            (both[precision].low_ms..=both[precision].high_ms).contains(&ms)
        };
        let inside = estimates.iter().zip(&taken).filter(|&pair| within(pair)).count();
        let errors = || predicted.iter().zip(&taken).map(|(p, t)| (p / t - 1.0).abs());
        let share = |count: usize| count as f64 / taken.len().max(1) as f64;
        let hits = share(errors().filter(|e| *e <= NEAR).count());
        let correlation = spearman(&predicted, &taken);
        let mean = errors().sum::<f64>() / taken.len().max(1) as f64;
        let largest = errors().fold(0.0, f64::max);
        let least = taken.iter().copied().fold(f64::INFINITY, f64::min);
        let most = taken.iter().copied().fold(0.0, f64::max);
        println!(
            "{name:5}: {} networks of {least:.3} to {most:.3} ms: {:.1} % within 10 %, mean error \
             {:.1} %, largest {:.1} %, rank correlation {correlation:.4}, {:.1} % within the interval",
            taken.len(),
            100.0 * hits,
            100.0 * mean,
            100.0 * largest,
            100.0 * share(inside)
        );
        if hits < LEAST_HITS || correlation < LEAST_CORRELATION {
            problems
                .push(format!("{name}: needs {LEAST_HITS} within 10 % and {LEAST_CORRELATION}"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
}
