//! `edgecut device`: what a device can do, measured there once, and what follows from it for models
//! that never ran there.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use edgecut_device::energy::Rapl;
use edgecut_device::{DeviceProfile, Prediction};
use edgecut_runtime::CompileOptions;
use serde::Serialize;

use crate::agent::{Agent, AskProfile};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::number_within;
use crate::work::loaded::Loaded;
use crate::work::nets;
use crate::work::shapes::Shapes;
use crate::{files, profile, progress, term, work};

/// Options of `device`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut device measure --threads 1 --out pi4.json
  edgecut device measure --agent pass.json --out pi4.json
  edgecut device show pi4.json
  edgecut device predict pi4.json model.onnx")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Measure this machine: peaks, bandwidths, and steps of many networks in float and int8
    #[command(
        after_help = "Examples:\n  edgecut device measure --threads 1 --out pi4.json\n\nLeave the machine alone meanwhile. A profile is of as many threads as measured it."
    )]
    Measure {
        /// Where to write the profile
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Seconds for each network
        #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
        each: f64,
        /// Only networks whose name has this in it; repeat for more
        #[arg(long, value_name = "PART")]
        net: Vec<String>,
        /// Not this machine, but the one of this agent's pass (see edgecut agent)
        #[arg(long, value_name = "PASS")]
        agent: Option<PathBuf>,
    },
    /// Show a profile
    #[command(after_help = "Examples:\n  edgecut device show pi4.json --json")]
    Show {
        /// What `measure` wrote
        #[arg(value_name = "PROFILE")]
        profile: PathBuf,
    },
    /// Predict latency and energy of a model on a device that is not here
    #[command(
        after_help = "Examples:\n  edgecut device predict pi4.json model.onnx\n  edgecut device predict pi4.json int8.onnx --measure"
    )]
    Predict {
        /// What `measure` wrote on the device
        #[arg(value_name = "PROFILE")]
        profile: PathBuf,
        /// The model: ONNX, TFLite or packed
        #[arg(value_name = "MODEL")]
        model: PathBuf,
        #[command(flatten)]
        shapes: Shapes,
        /// Also measure it here, to compare: for a profile of this machine
        #[arg(long)]
        measure: bool,
    },
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    number_within(text, 0.01..=600.0)
}

/// Runs the action.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    match &args.action {
        Action::Measure { out, each, net, agent: None } => measure(out, *each, net, global),
        Action::Measure { out, each, net, agent: Some(pass) } => {
            measure_there(pass, out, *each, net, global)
        }
        Action::Show { profile } => show(&DeviceProfile::read(profile)?, global),
        Action::Predict { profile, model, shapes, measure } => {
            predict(&DeviceProfile::read(profile)?, model, shapes, *measure, global)
        }
    }
}

fn measure(out: &Path, each: f64, parts: &[String], global: &Global) -> Result<()> {
    files::check_writable(out)?;
    let nets = nets::named(&parts.iter().map(String::as_str).collect::<Vec<_>>())?;
    let profile = nets::measure(&nets, each, global, &global.pool())?;
    files::write_json(out, &profile)?;
    show(&profile, global)
}

fn measure_there(
    pass: &Path,
    out: &Path,
    each: f64,
    parts: &[String],
    global: &Global,
) -> Result<()> {
    files::check_writable(out)?;
    let agent = Agent::open(pass)?;
    let about = agent.about()?;
    progress::say(global, &format!("measuring {} over the network", about.machine.cpu));
    let threads = global.threads.unwrap_or(0);
    let profile = agent.profile(&AskProfile { threads, each, nets: parts.join(",") })?;
    files::write_json(out, &profile)?;
    show(&profile, global)
}

fn show(profile: &DeviceProfile, global: &Global) -> Result<()> {
    if global.json {
        return files::print_json(profile);
    }
    let row = |net: &edgecut_device::Whole| {
        let predicted = net.predicted_us.map(|us| us * profile.fit.factor);
        vec![
            net.name.clone(),
            net.steps.to_string(),
            term::milliseconds(net.us / 1e3),
            predicted.map_or("-".into(), |us| term::milliseconds(us / 1e3)),
            predicted.map_or("-".into(), |us| format!("{:+.0} %", 100.0 * (us / net.us - 1.0))),
        ]
    };
    let rows: Vec<Vec<String>> = profile.nets.iter().map(row).collect();
    let header = ["network", "steps", "measured", "predicted from the others", "error"];
    files::print(&term::table(&header, &[1, 2, 3, 4], &rows));
    let (machine, fit) = (&profile.machine, &profile.fit);
    files::print(&format!(
        "{} steps of {} kinds; a run is {:.2} times its steps, nine of ten within a factor of {:.2}",
        profile.entries.len(),
        kinds(profile),
        fit.factor,
        fit.spread,
    ));
    files::print(&profile::describe(&profile.roofs));
    files::print(&format!("{}, {} threads, {}", machine.cpu, machine.threads, machine.isa));
    let energy = match Rapl::open() {
        Some(_) => "this machine counts the energy of its processors (RAPL)",
        None => "this machine does not count energy: only a model says something of it",
    };
    files::print(energy);
    Ok(())
}

fn kinds(profile: &DeviceProfile) -> usize {
    let mut kinds: Vec<&str> = profile.entries.iter().map(|e| e.work.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len()
}

/// What `predict --json` prints.
#[derive(Serialize)]
struct Output<'a> {
    device: &'a edgecut_device::Machine,
    model: &'a Path,
    /// Nothing of it was measured.
    predicted: Prediction,
    /// Median of this machine, where asked for.
    measured_ms: Option<f64>,
}

fn predict(
    profile: &DeviceProfile,
    path: &Path,
    shapes: &Shapes,
    measure: bool,
    global: &Global,
) -> Result<()> {
    let model = Loaded::open(path, shapes, false)?;
    let plan = model.plan(1, &CompileOptions::default())?;
    let predicted = profile.predict(&plan).map_err(|e| Failure::from(e).at(path))?;
    let measured_ms = match measure {
        true => Some(median_ms(plan, predicted.ms, global)?),
        false => None,
    };
    let device = &profile.machine;
    if global.json {
        return files::print_json(&Output { device, model: path, predicted, measured_ms });
    }
    let threads = device.threads;
    files::print(&format!(
        "{}: {} predicted on {} with {threads} thread{}, {} to {} for nine of ten networks",
        path.display(),
        term::milliseconds(predicted.ms),
        device.cpu,
        if threads == 1 { "" } else { "s" },
        term::milliseconds(predicted.low_ms),
        term::milliseconds(predicted.high_ms),
    ));
    files::print(&format!(
        "{:.2} mJ a picture by a model of a 45 nm process (Horowitz 2014): for ranking only",
        predicted.millijoules
    ));
    if let Some(ms) = measured_ms {
        let error = 100.0 * (predicted.ms / ms - 1.0);
        files::print(&format!(
            "{} measured on this machine: the prediction is {error:+.0} % off",
            term::milliseconds(ms)
        ));
    }
    Ok(())
}

/// Median of runs of a second, at least five.
fn median_ms(
    plan: std::sync::Arc<edgecut_runtime::Plan>,
    expected_ms: f64,
    global: &Global,
) -> Result<f64> {
    let mut subject = work::time::Subject::of(edgecut_runtime::Session::new(plan, global.pool()))?;
    let runs = (1000.0 / expected_ms.max(1e-3)).clamp(5.0, 1000.0) as usize;
    let times = work::time::in_turn(global, &mut [&mut subject], 2, runs)?;
    Ok(times[0].median_ms)
}
