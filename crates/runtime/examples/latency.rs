//! Latency and memory of a model: `latency MODEL [THREADS] [RUNS] [SHAPE]`, the shape of the first
//! input as `1x3x640x640` where the model leaves it open.
//!
//! Prints quantiles over single runs, then where the time goes by kind of step.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use edgecut_graph::{onnx, tflite};
use edgecut_kernels::Pool;
use edgecut_runtime::{Model, Session};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("usage: latency MODEL [THREADS] [RUNS] [SHAPE]")?;
    let threads: usize = arguments.next().map_or(Ok(1), |t| t.parse())?;
    let runs: usize = arguments.next().map_or(Ok(100), |r| r.parse())?;

    let shape = arguments.next().map(|s| s.split('x').map(str::parse).collect::<Result<_, _>>());
    let (path, pool) = (Path::new(&model), Arc::new(Pool::new(threads)));
    let model = match path.extension() {
        Some(kind) if kind == "tflite" => Model::new(tflite::import(path)?, pool.clone()),
        _ => Model::from_template(onnx::Template::open(path)?, pool.clone()),
    };
    let start = Instant::now();
    let plan = match shape {
        Some(shape) => model.plan_for(&[shape?])?,
        None => model.plan(1)?,
    };
    println!("compile    {:8.1} ms", start.elapsed().as_secs_f64() * 1e3);
    println!("arena      {:8.1} KiB", plan.arena_bytes() as f64 / 1024.0);
    println!("weights    {:8.1} KiB", plan.weight_bytes() as f64 / 1024.0);
    println!("products   {:8.1} M", plan.macs() as f64 / 1e6);

    let mut session = Session::new(plan, pool);
    println!("session    {:8.1} KiB on {threads} threads", session.memory_bytes() as f64 / 1024.0);
    if let Ok(input) = session.input_mut(0) {
        input.iter_mut().enumerate().for_each(|(i, x)| *x = (i as f32 * 0.37).sin());
    }
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        session.run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize];
    println!("latency    {:8.3} ms min, {:.3} median, {:.3} p90", at(0.0), at(0.5), at(0.9));

    let profile = session.run_profiled(runs.clamp(1, 50))?;
    let mut kinds: BTreeMap<&str, (u64, u64, usize)> = BTreeMap::new();
    for step in &profile.steps {
        let row = kinds.entry(&*step.info.kind).or_default();
        *row = (row.0 + step.ns, row.1 + step.info.macs, row.2 + 1);
    }
    let mut rows: Vec<_> = kinds.into_iter().collect();
    rows.sort_by_key(|(_, (ns, ..))| std::cmp::Reverse(*ns));
    for (kind, (ns, macs, count)) in rows {
        let (us, rate) = (ns as f64 / 1e3, macs as f64 / ns.max(1) as f64);
        println!("{kind:<20} {count:4} steps {us:10.1} us {rate:8.1} GMAC/s");
    }
    Ok(())
}
