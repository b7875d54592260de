//! What it costs the device to change its plan: each plan's own part right after another plan's, beside
//! right after itself. All plans are in memory; what differs is what the processor's caches hold.
//!
//! cargo run --release -p edgecut-edge --example switch -- PLANS [ROUNDS]
//!
//! PLANS is a folder that `edgecut split --out-plans` has written.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use edgecut_edge::engine::Warm;
use edgecut_edge::plans::Plans;
use edgecut_graph::Tensor;
use edgecut_graph::rng::Rng;

/// Rounds over all pairs of plans.
const ROUNDS: usize = 30;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rounds = args.get(1).map_or(Ok(ROUNDS), |text| text.parse());
    let (Some(folder), Ok(rounds @ 1..)) = (args.first(), rounds) else {
        eprintln!("usage: switch PLANS [ROUNDS]");
        return ExitCode::from(2);
    };
    match run(folder.as_ref(), rounds) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

/// What the device computes under a plan: a head, or the whole model.
struct Part {
    name: String,
    head: Option<usize>,
}

fn run(folder: &Path, rounds: usize) -> edgecut_edge::Result<()> {
    let plans = Plans::read(folder)?;
    let mut warm = Warm::load(folder, &plans, 1)?;
    let mut rng = Rng::keyed(&[1]);
    let mut inputs = vec![];
    for port in warm.inputs() {
        let count = port.shape.iter().product();
        let values: Vec<f32> = (0..count).map(|_| rng.range(-1.0, 1.0)).collect();
        inputs.push(Tensor::new(port.shape.clone(), values)?);
    }
    let cuts = plans.plans.iter().enumerate().filter(|(_, plan)| plan.cut.is_some());
    let heads = cuts.map(|(index, _)| Part { name: format!("cut {index}"), head: Some(index) });
    let parts: Vec<Part> =
        std::iter::once(Part { name: "whole".into(), head: None }).chain(heads).collect();
    if parts.len() < 2 {
        println!("{}: no plan cuts the model, so there is nothing to change to", folder.display());
        return Ok(());
    }
    let mut time = |part: &Part| -> edgecut_edge::Result<f64> {
        let began = Instant::now();
        match part.head {
            None => drop(warm.whole(&inputs)?),
            Some(index) => drop(warm.head(index, &inputs)?),
        }
        Ok(began.elapsed().as_secs_f64() * 1e3)
    };
    let mut after_itself = vec![vec![]; parts.len()];
    let mut after_others = vec![vec![vec![]; parts.len()]; parts.len()];
    for _ in 0..rounds {
        for (a, before) in parts.iter().enumerate() {
            for (b, part) in parts.iter().enumerate().filter(|(b, _)| *b != a) {
                time(before)?;
                after_others[b][a].push(time(part)?);
                after_itself[b].push(time(part)?);
            }
        }
    }
    println!("{:<10}{:>16}{:>24}{:>12}", "plan", "after itself", "after another (worst)", "more");
    for ((part, own), others) in parts.iter().zip(&mut after_itself).zip(&mut after_others) {
        let others = others.iter_mut().filter(|times| !times.is_empty()).map(|times| median(times));
        let (own, other) = (median(own), others.fold(f64::NAN, f64::max));
        println!("{:<10}{own:>13.3} ms{other:>21.3} ms{:>9.3} ms", part.name, other - own);
    }
    Ok(())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
