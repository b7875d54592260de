//! Filling the table.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_graph::rng::Rng;
use edgecut_kernels::roofline::Peaks;
use edgecut_kernels::{Isa, Pool};
use edgecut_runtime::{CompileOptions, Session, compile};

use crate::{DeviceProfile, Entry, Machine, Result, Roofs, Subject, Whole, Work};

/// Runs that warm caches and clocks up.
const WARM_UP: usize = 2;

/// What is told on the way.
pub trait Progress {
    /// Network `index` of `count` begins. An error ends the measurement.
    fn net(&mut self, index: usize, count: usize, name: &str) -> Result<()>;
}

/// Measures this machine with the networks given: every step, and whole runs. Each network takes
/// about `each`, half of it for its steps. Of a step the median of its runs counts. A whole run is long
/// enough to be disturbed by others most of the time, and a disturbance only ever adds: the run that
/// one in ten undercuts counts.
///
/// # Errors
/// Where a network cannot be built, compiled or run, or `progress` says stop.
pub fn measure(
    subjects: &[Subject],
    pool: &Arc<Pool>,
    each: Duration,
    progress: &mut dyn Progress,
) -> Result<DeviceProfile> {
    let peaks = || Roofs::of(&Peaks::measure(Isa::detect(), pool.threads()));
    let before = peaks();
    let (mut nets, mut entries) = (Vec::new(), Vec::new());
    for (index, subject) in subjects.iter().enumerate() {
        progress.net(index, subjects.len(), &subject.name)?;
        let (whole, steps) = net(subject, nets.len(), pool, before.near_bytes, each)?;
        nets.push(whole);
        entries.extend(steps);
    }
    // A disturbance only lowers a peak.
    let roofs = before.highest(peaks());
    Ok(DeviceProfile::new(Machine::this(pool.threads()), roofs, nets, entries))
}

fn net(
    subject: &Subject,
    index: usize,
    pool: &Arc<Pool>,
    near_bytes: usize,
    each: Duration,
) -> Result<(Whole, Vec<Entry>)> {
    let plan = Arc::new(compile(&subject.graph(pool)?, &CompileOptions::default())?);
    let mut session = Session::new(Arc::clone(&plan), Arc::clone(pool));
    let mut rng = Rng::new(1);
    for port in 0..plan.inputs().len() {
        session.input_mut(port)?.fill_with(|| rng.range(-1.0, 1.0));
    }
    let began = Instant::now();
    for _ in 0..WARM_UP {
        session.run()?;
    }
    let run = began.elapsed() / WARM_UP as u32;
    let runs = (each.as_secs_f64() / 2.0 / run.as_secs_f64().max(1e-6)) as usize;
    let runs = runs.clamp(5, 1000);
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        session.run()?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let profile = session.run_profiled(runs)?;
    let whole = Whole {
        name: subject.name.clone(),
        resident: plan.arena_bytes() + plan.weight_bytes() <= near_bytes,
        steps: plan.steps().len(),
        us: times[runs / 10],
        predicted_us: None,
    };
    // A step below the clock's resolution still takes some time.
    let entry = |(work, step): (Work, edgecut_runtime::StepProfile)| Entry {
        net: index,
        work,
        us: (step.ns as f64 / 1e3).max(1e-3),
    };
    Ok((whole, Work::of(&plan).into_iter().zip(profile.steps).map(entry).collect()))
}
