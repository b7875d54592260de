//! `edgecut split`: a model in two, cut where a link, a device and a server say.

use std::path::{Path, PathBuf};

use edgecut_collab::Halves;
use edgecut_collab::partition::{
    Decision, Limits, Objective, Placement, Planner, Radio, Transfer, Vertices,
};
use edgecut_edge::plans::Plan;
use edgecut_graph::ValueId;
use edgecut_train::inversion::Inversion;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, Size, number_within};
use crate::work::data;
use crate::work::model::{self, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::work::split::link::{Link, LinkName};
use crate::work::split::parts::{Checked, Parts};
use crate::work::split::pictures::Pictures;
use crate::work::split::plans;
use crate::work::split::prices::{PRICED, Prices};
use crate::work::split::privacy;
use crate::work::split::proof::Proof;
use crate::work::split::rows::{self, Replay, Row};
use crate::work::split::times::{self, Side, Steps};
use crate::work::split::wire::{Sent, Wire};
use crate::{files, term};

/// Options of `split`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut split model.onnx --link 5,40 --server 10x
  edgecut split model.onnx --link 5,40 --server 10x --data ./flowers --bits 4 \\
      --out-head head.onnx --out-tail tail.onnx --out-codec cut.codec
  edgecut split model.onnx --link report_bus_0004.json --device pi4.json --server xeon.json
  edgecut split model.onnx --link 5,40 --server 10x --objective server --max-latency 80
  edgecut split model.onnx --link 5,40 --server 10x --data ./flowers --out-plans plans
  edgecut split model.onnx --link 5,40 --server 10x --data ./flowers --wire plain --out-plans plans

Candidates of one decision: everything on the device, the input to the server as it is or as a JPEG
file, and every cut between steps of the runtime. For latency and energy the best of all cuts is found
exactly (minimum cut); for the others, and within limits, among all cuts where they are few enough to
look at, as in nearly every network, else among the best known, with a bound on what others could
reach. Without --data, bytes are those of --bits without entropy coding and JPEG is no candidate; with it,
both are measured, and the split is run on test pictures beside the whole model. Energy and the table's memory
are models. Coding is timed on this machine, whatever the device. -v shows every candidate.")]
pub struct Args {
    /// The model, ONNX or TFLite
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// The uplink: megabits per second and round trip in milliseconds, or a trace, a JSON file with
    /// rows of duration_ms, bandwidth_kbps and latency_ms
    #[arg(long, value_name = "MBPS,RTT|TRACE")]
    link: LinkName,
    /// The device: this (measured now), or what `device measure` wrote there
    #[arg(long, value_name = "PROFILE|this", default_value = "this")]
    device: Side,
    /// The server: a profile, this, or how many times as fast as the device it is, such as 10x
    #[arg(long, value_name = "PROFILE|Nx|this")]
    server: Side,
    /// What is to be least: latency, the device's energy, the server's time (with --max-latency), or
    /// the slowest stage of a pipeline
    #[arg(long, value_enum, value_name = "WHAT", default_value = "latency")]
    objective: Aim,
    /// Cut here: at the tensor of this name
    #[arg(long, value_name = "TENSOR")]
    at: Option<String>,
    /// How floats cross
    #[arg(long, value_enum, value_name = "HOW", default_value = "packed")]
    wire: WireName,
    /// How finely what crosses packed is quantised: as 2^N levels over a channel of typical range, then
    /// entropy-coded
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(2..=8))]
    bits: u8,
    /// Most memory of the device's part: weights and activations
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<Size>,
    /// Longest time from the input to the answer in milliseconds; on a trace, of 95 in 100 requests
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    max_latency: Option<f64>,
    /// Wait in the server's queue in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = milliseconds)]
    queue: f64,
    /// The device's radio, for energy
    #[arg(long, value_enum, default_value = "wifi")]
    radio: RadioName,
    /// Quality of JPEG files that are sent instead, 1 to 100
    #[arg(long, value_name = "QUALITY", default_value_t = 85, value_parser = clap::value_parser!(u8).range(1..=100))]
    jpeg: u8,
    /// Pictures: training ones to calibrate on, test ones to check with; a name or a path, as for train
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// Pictures that the codec is calibrated on
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=128))]
    images: u16,
    /// Test pictures that the split is checked with
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    check: u16,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Measure how much of a picture is left in what crosses: the distance correlation of pictures with
    /// it for every candidate, and for the best cut the pictures that an attacker draws; needs --data
    #[arg(long, requires = "data")]
    privacy: bool,
    /// Largest distance correlation, 0 to 1; needs --data
    #[arg(long, value_name = "X", requires = "data", value_parser = unit)]
    max_dcor: Option<f64>,
    /// Where to write the device's part (.onnx or .tflite)
    #[arg(long, value_name = "FILE")]
    out_head: Option<PathBuf>,
    /// Where to write the server's part (.onnx or .tflite)
    #[arg(long, value_name = "FILE")]
    out_tail: Option<PathBuf>,
    /// Where to write the codec that both sides need; needs --data
    #[arg(long, value_name = "FILE", requires = "data")]
    out_codec: Option<PathBuf>,
    /// Folder for everything that `edgecut edge` and `edgecut serve` need: the model, and head, tail
    /// and codecs of each cut that is best for some link; needs --data
    #[arg(long, value_name = "DIR", requires = "data")]
    out_plans: Option<PathBuf>,
}

/// What is to be least.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Aim {
    Latency,
    Energy,
    Server,
    Throughput,
}

/// What crosses.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum WireName {
    /// Coded, some times smaller: the tail is computed by edgecut serve
    Packed,
    /// A byte each, which the tail dequantises: it is computed by any server that takes ONNX
    Plain,
}

/// Radios whose power is known.
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum RadioName {
    /// 283 mW per Mbit/s and 133 mW (Huang et al. 2012)
    Wifi,
    /// 438 mW per Mbit/s and 1288 mW (the same)
    Lte,
}

fn milliseconds(text: &str) -> std::result::Result<f64, String> {
    number_within(text, 0.0..=1e6)
}

fn unit(text: &str) -> std::result::Result<f64, String> {
    number_within(text, 0.0..=1.0)
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    link: &'a str,
    device: &'a str,
    server: &'a str,
    objective: Objective,
    wire: WireName,
    /// Of an element before entropy coding.
    bits: u8,
    /// Whether the candidates are all cuts between steps.
    exhaustive: bool,
    chosen: &'a Row,
    /// Memory of the device's part as compiled here: weights and activations.
    head_memory_bytes: Option<u64>,
    candidates: &'a [Row],
    /// Test pictures through the split.
    check: Option<&'a Proof>,
    /// Test pictures as JPEG files.
    jpeg: Option<&'a Proof>,
    /// What an attacker draws who sees what crosses.
    inversion: Option<Inversion>,
    written: &'a [PathBuf],
    /// Files that were asked for and have no content in this plan.
    without: &'a [PathBuf],
    /// Plans that were written with --out-plans.
    plans: &'a [Plan],
}

/// What is wrong only together.
fn check(args: &Args) -> Result<()> {
    let plain = matches!(args.wire, WireName::Plain);
    if plain && args.out_codec.is_some() {
        return Err(Failure::input("--out-codec: what crosses plain has no codec")
            .hint("leave it out, or --wire plain"));
    }
    if plain && args.data.is_none() && (args.out_head.is_some() || args.out_tail.is_some()) {
        return Err(Failure::input("--wire plain: bytes need a scale, which pictures give")
            .hint("add --data"));
    }
    Ok(())
}

/// Splits.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    for out in [&args.out_head, &args.out_tail, &args.out_codec].into_iter().flatten() {
        files::check_writable(out)?;
    }
    for out in [&args.out_head, &args.out_tail].into_iter().flatten() {
        model::format(out)?;
    }
    check(args)?;
    let model = Model::load_float(&args.model, &args.shapes)?;
    let link = Link::open(&args.link, args.queue)?;
    let pictures = open(args, &model)?;
    let steps = times::steps(&model.graph, &args.device, &args.server, global)?;
    let (planner, vertices) = plan(args, global, &model, &steps, pictures.as_ref())?;
    let mut decisions = planner.candidates(&link.now);
    if !planner.family().exhaustive {
        let aims = [Objective::Latency, Objective::Energy];
        decisions.extend(aims.map(|aim| planner.least(aim, &link.now)));
    }
    let replay = |d: &Decision| {
        let sends = d.placement != Placement::Local;
        link.trace.as_ref().map(|trace| Replay::of(trace, &d.cost, link.now.rtt_ns, sends))
    };
    let leaks = match &pictures {
        Some(pictures) if args.privacy || args.max_dcor.is_some() => {
            let plans = (&planner, &vertices);
            privacy::correlations(&decisions, plans, &model.graph, pictures, &global.pool())?
        }
        _ => vec![],
    };
    let row = |d: &Decision| Row::of(d, &planner, &vertices, &model.graph, replay(d));
    let known = |(i, d): (usize, &Decision)| Row { dcor: leaks.get(i).copied(), ..row(d) };
    let mut rows: Vec<Row> = decisions.iter().enumerate().map(known).collect();
    let chosen = choose(args, &planner, &link, decisions.iter().zip(rows.iter().cloned()))?;
    let same = |d: &Decision| d.placement == chosen.placement && d.device == chosen.device;
    match decisions.iter().position(same) {
        Some(at) => rows[at].chosen = true,
        // A cut of a graph that has too many to list.
        None => rows.push(Row { chosen: true, ..row(&chosen) }),
    }
    let split = chosen.placement == Placement::Split;
    let inversion = match &pictures {
        Some(pictures) if args.privacy && split => {
            let crossing = planner.problem().crossing(&chosen.device).map(|t| vertices.value(t));
            privacy::attack(&model.graph, &crossing.collect::<Vec<_>>(), pictures, &global.pool())?
        }
        _ => None,
    };
    let device = vertices.nodes(&chosen.device);
    let sent = match &pictures {
        Some(pictures) => {
            let samples = pictures.training(usize::from(args.images))?;
            wire(args).prepare(&model.graph, &device, &samples, &global.pool())?
        }
        None => Sent { halves: Halves::of(&model.graph, &device)?, codecs: vec![] },
    };
    let parts = Parts { graph: &model.graph, sent };
    let checked = match &pictures {
        Some(pictures) => parts.check(pictures, usize::from(args.check), &global.pool())?,
        None => Checked::default(),
    };
    let out = [&args.out_head, &args.out_tail, &args.out_codec].map(Option::as_deref);
    let written = parts.write(out)?;
    let without: Vec<PathBuf> = match written.is_empty() {
        // Several codecs have names of their own.
        false if parts.is_split() => vec![],
        _ => {
            out.into_iter().flatten().map(PathBuf::from).filter(|o| !written.contains(o)).collect()
        }
    };
    let plans = match (&args.out_plans, &pictures) {
        (Some(folder), Some(pictures)) => {
            let how = (wire(args), usize::from(args.images));
            let cuts = (&planner, &vertices);
            plans::write(folder, &args.model, &model.graph, cuts, pictures, how, &global.pool())?
                .plans
        }
        _ => vec![],
    };
    let chosen = rows.iter().find(|row| row.chosen).expect("one row is marked");
    let output = Output {
        model: &args.model,
        link: &link.words,
        device: &steps.device,
        server: &steps.server,
        objective: objective(args),
        wire: args.wire,
        bits: wire(args).bits(),
        exhaustive: planner.family().exhaustive,
        chosen,
        head_memory_bytes: parts.head_memory()?,
        candidates: &rows,
        check: checked.split.as_ref(),
        jpeg: checked.jpeg.as_ref(),
        inversion,
        written: &written,
        without: &without,
        plans: &plans,
    };
    if global.json { files::print_json(&output) } else { print(&output, global.verbose > 0) }
}

fn objective(args: &Args) -> Objective {
    match args.objective {
        Aim::Latency => Objective::Latency,
        Aim::Energy => Objective::Energy,
        Aim::Server => Objective::Server,
        Aim::Throughput => Objective::Throughput,
    }
}

fn wire(args: &Args) -> Wire {
    match args.wire {
        WireName::Packed => Wire::Packed { bits: args.bits },
        WireName::Plain => Wire::Plain,
    }
}

fn open(args: &Args, model: &Model) -> Result<Option<Pictures>> {
    let Some(source) = args.data.clone() else { return Ok(None) };
    let settings = DataSettings { source, validation: 0.2, limit: None, classes: None };
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&settings, None)?;
    Ok(Some(Pictures::new(data, preprocess, args.jpeg, &model.card())))
}

/// The planner of the model for all links.
fn plan(
    args: &Args,
    global: &Global,
    model: &Model,
    steps: &Steps,
    pictures: Option<&Pictures>,
) -> Result<(Planner, Vertices)> {
    let graph = &model.graph;
    let mut prices = Prices::estimated(wire(args), steps.server_factor)?;
    let mut picture: Option<Transfer> = None;
    if let Some(pictures) = pictures {
        let (vertices, problem) = Vertices::of_steps(graph, &steps.steps, &prices)?;
        let tensors = problem.tensors().iter().enumerate().filter(|(_, t)| !t.readers.is_empty());
        let values: Vec<ValueId> = tensors.map(|(t, _)| vertices.value(t)).collect();
        let samples = pictures.training(PRICED)?;
        prices.measure(graph, &values, &samples, steps.server_factor, global)?;
        picture = Some(pictures.transfer(usize::from(args.images), steps.server_factor)?);
    }
    let (vertices, problem) = Vertices::of_steps(graph, &steps.steps, &prices)?;
    let radio = match args.radio {
        RadioName::Wifi => Radio::WIFI,
        RadioName::Lte => Radio::LTE,
    };
    Ok((Planner::new(problem, radio, picture), vertices))
}

/// The plan: the one that is asked for, or the best within the limits.
fn choose<'a>(
    args: &Args,
    planner: &Planner,
    link: &Link,
    candidates: impl Iterator<Item = (&'a Decision, Row)>,
) -> Result<Decision> {
    if let Some(name) = &args.at {
        let candidates: Vec<(&Decision, Row)> = candidates.collect();
        let there = |row: &Row| row.placement == Placement::Split && row.sends == [name.clone()];
        let found = candidates.iter().find(|(_, row)| there(row)).map(|(d, _)| (*d).clone());
        let single = candidates.iter().filter(|(_, row)| row.sends.len() == 1);
        let known: Vec<&str> = single.map(|(_, row)| row.sends[0].as_str()).collect();
        return found.ok_or_else(|| {
            Failure::input(format!("--at {name}: no single tensor of this name can be cut at"))
                .hint(format!("there are {}", known.join(", ")))
        });
    }
    let limits = Limits {
        memory_bytes: args.max_memory.map(|size| size.0),
        latency_ns: args.max_latency.map(|ms| (ms * 1e6) as u64),
    };
    let none = || {
        Failure::not_met("no candidate keeps within --max-memory, --max-latency and --max-dcor")
            .hint("allow more, or fewer --bits")
    };
    let replayed = args.max_latency.is_some() || objective(args) == Objective::Latency;
    // What leaks no planner knows.
    if args.max_dcor.is_none() && !(link.trace.is_some() && replayed) {
        return planner.decide(objective(args), &limits, &link.now).ok_or_else(none);
    }
    let memory = Limits { latency_ns: None, ..limits };
    let kept = candidates.filter_map(|(d, row)| {
        // Over a trace latency is what its replay says.
        let [mean, late] = row.replay.map_or([row.total_ms; 2], |r| [r.mean_ms, r.p95_ms]);
        let value = match objective(args) {
            Objective::Latency => mean,
            other => other.of(&d.cost) as f64,
        };
        let fast = args.max_latency.is_none_or(|most| late <= most);
        let quiet = args.max_dcor.is_none_or(|most| row.dcor.is_none_or(|dcor| dcor <= most));
        (fast && quiet && memory.admit(&d.cost)).then(|| (value, mean, d.clone()))
    });
    let best = kept.min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    best.map(|(_, _, decision)| decision).ok_or_else(none)
}

fn print(output: &Output, all: bool) -> Result<()> {
    let (table, hidden) = rows::table(output.candidates, all);
    files::print(&table);
    if hidden > 0 {
        files::print(&format!("{hidden} more are no better in anything; -v shows them"));
    }
    files::print(&format!("link: {}", output.link));
    files::print(&format!("device: {}; server: {}", output.device, output.server));
    let chosen = output.chosen;
    let memory = output.head_memory_bytes.map_or(String::new(), |bytes| {
        format!("; the device's part takes {} compiled here", term::bytes(bytes))
    });
    files::print(&format!("best: send {}{memory}", chosen.words()));
    if let Some(check) = output.check {
        let half = check.same_from_half.map_or(String::new(), |half| {
            format!(", {} from half of the bytes", term::percent(half.percent))
        });
        files::print(&format!("split: {}{half}", proved(check)));
    }
    if let Some(jpeg) = output.jpeg {
        files::print(&format!("as JPEG: {}", proved(jpeg)));
    }
    if let Some(Inversion { psnr_db, blind_db }) = output.inversion {
        files::print(&format!(
            "an attacker who learned from pairs draws test pictures with {psnr_db:.1} dB (PSNR) of what \
             crosses, {blind_db:.1} dB without seeing it"
        ));
    }
    output.written.iter().for_each(|path| files::print(&path.display().to_string()));
    if !output.plans.is_empty() {
        let cuts = output.plans.iter().filter(|plan| plan.cut.is_some()).count();
        files::print(&format!("{} plans, {cuts} of them cuts", output.plans.len()));
    }
    for path in output.without {
        files::print(&format!("{} is not written: this plan has no such part", path.display()));
    }
    Ok(())
}

fn proved(proof: &Proof) -> String {
    let bits =
        proof.bits_per_element.map_or(String::new(), |b| format!(" ({b:.2} bits an element)"));
    let top1 = proof.top1.map_or(String::new(), |top1| {
        let [whole, sent] = [top1.whole, top1.sent].map(|share| term::percent(share.percent));
        format!(", top-1 {sent} instead of {whole}")
    });
    format!(
        "{} a picture{bits}; same answer on {} of {} test pictures{top1}",
        term::bytes(proof.bytes.round() as u64),
        term::percent(proof.same.percent),
        proof.pictures
    )
}
