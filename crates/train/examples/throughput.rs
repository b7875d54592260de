//! Images per second of training, and where the time goes.
//!
//! `cargo run --release -p edgecut-train --example throughput [-- ARCH|MODEL.onnx [BATCH [THREADS]]]`
//!
//! With `--json`, a line with the times of all steps in milliseconds and the bytes of the plan, for
//! `cargo xtask bench-train`. `--memory SHARE` plans with this share of the memory that activations
//! take otherwise, `--bf16` computes products in bfloat16.
//!
//! Data are random and in memory: this measures the engine alone. Times are minima over steps, so
//! that whatever else the machine does counts as little as possible.

use std::time::Instant;

use edgecut_graph::rng::Rng;
use edgecut_kernels::{Isa, Pool};
use edgecut_train::ema::Ema;
use edgecut_train::engine::Engine;
use edgecut_train::optim::{Group, OptimizerState};
use edgecut_train::plan::{Budget, PlanOptions, TrainPlan};
use edgecut_train::{Optimizer, Precision};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut json, mut share, mut options) = (false, None, PlanOptions::default());
    let mut positional = vec![];
    let mut rest = std::env::args().skip(1);
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--bf16" => options.precision = Precision::Bf16,
            "--memory" => share = rest.next().map(|text| text.parse::<f64>()).transpose()?,
            _ => positional.push(argument),
        }
    }
    let mut arguments = positional.into_iter();
    let arch = arguments.next().unwrap_or("mobilenet-v2-s28".into());
    let batch: usize = arguments.next().map_or(Ok(128), |a| a.parse())?;
    let threads: usize = arguments.next().map_or(Ok(2), |a| a.parse())?;
    let graph = match arch.ends_with(".onnx") {
        true => edgecut_graph::onnx::import(std::path::Path::new(&arch))?,
        false => edgecut_zoo::build(&arch, &edgecut_zoo::Options::default())?,
    };
    // Momentum, and averages of the weights.
    let copies = 2;
    if let Some(share) = share {
        options.memory = Some(Budget { bytes: usize::MAX, copies, threads });
        let whole = TrainPlan::with(&graph, batch, &options)?.memory(threads, copies);
        let activations = (whole.activations as f64 * share) as usize;
        let bytes = whole.total() - whole.activations + activations;
        options.memory = Some(Budget { bytes, copies, threads });
    }
    let plan = TrainPlan::with(&graph, batch, &options)?;
    let memory = plan.memory(threads, copies);
    if !json {
        let parameters = plan.params().values.len();
        let again = memory.recomputed;
        let bytes = memory.total() as f64 / 1e6;
        let cost = memory.recomputation * 100.0;
        println!(
            "{arch}: {parameters} parameters, {bytes:.0} MB, {again} layers computed twice, {cost:.1} \
             % of the forward pass"
        );
    }
    let mut rng = Rng::new(1);
    let x: Vec<f32> = (0..batch * plan.input().len()).map(|_| rng.normal()).collect();
    let labels: Vec<u32> = (0..batch).map(|_| rng.below(plan.classes()) as u32).collect();
    let mut optimizer = OptimizerState::new(Optimizer::SGD, Group::of_tensors(plan.params()));
    let mut ema = Ema::new(plan.params(), 0.999);
    let mut engine = Engine::new(plan, Pool::new(threads), Isa::detect());
    let mut phases = [f64::INFINITY; 4];
    let mut best = f64::INFINITY;
    let mut steps = vec![];
    let mut layers = vec![[u64::MAX; 2]; engine.times().count()];
    for step in 0..20 {
        engine.reset_times();
        let mut marks = vec![Instant::now()];
        engine.forward(&x, batch, true);
        marks.push(Instant::now());
        let loss = engine.loss(&labels, 0.1);
        engine.backward();
        marks.push(Instant::now());
        let (params, gradients, pool) = engine.update();
        optimizer.step(pool, &mut params.values, gradients, 1e-4, 1e-3, step);
        marks.push(Instant::now());
        ema.update(params, step);
        marks.push(Instant::now());
        assert!(loss.is_finite());
        for (phase, pair) in phases.iter_mut().zip(marks.windows(2)) {
            *phase = phase.min((pair[1] - pair[0]).as_secs_f64());
        }
        best = best.min((marks[4] - marks[0]).as_secs_f64());
        // The averages are left out: not everybody keeps them.
        steps.push((marks[3] - marks[0]).as_secs_f64() * 1e3);
        for (layer, (_, _, time)) in layers.iter_mut().zip(engine.times()) {
            *layer = [layer[0].min(time.forward), layer[1].min(time.backward)];
        }
    }
    if json {
        let (bytes, peak, again) = (memory.total(), peak_kib(), memory.recomputed);
        println!(
            "{{\"ms\": {steps:?}, \"plan_bytes\": {bytes}, \"peak_kib\": {peak}, \"recomputed\": {again}}}"
        );
        return Ok(());
    }
    println!("{:.0} images/s: {:.2} ms per step of {batch}", batch as f64 / best, best * 1e3);
    for (name, time) in ["forward", "loss and backward", "update", "average"].iter().zip(phases) {
        println!("  {name:<18} {:8.2} ms", time * 1e3);
    }
    let mut kinds = std::collections::BTreeMap::<&str, [u64; 3]>::new();
    for ((_, kind, _), [forward, backward]) in engine.times().zip(&layers) {
        let sum = kinds.entry(kind).or_default();
        *sum = [sum[0] + 1, sum[1] + forward, sum[2] + backward];
    }
    println!("  {:<22} {:>5} {:>10} {:>10}", "layers", "", "forward", "backward");
    for (kind, [count, forward, backward]) in kinds {
        let ms = |ns: u64| ns as f64 / 1e6;
        println!("  {kind:<22} {count:>5} {:>7.2} ms {:>7.2} ms", ms(forward), ms(backward));
    }
    if std::env::var_os("LAYERS").is_some() {
        for ((name, kind, _), [forward, backward]) in engine.times().zip(&layers) {
            println!("  {name:<40} {kind:<20} {forward:>10} {backward:>10}");
        }
    }
    Ok(())
}

/// The largest resident memory so far; 0 where the system does not say.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
