//! The policy over recorded links beside what never changes and what knows all: a table of every trace,
//! and whether it keeps what it promises.
//!
//! cargo run --release -p edgecut-edge --example replay -- [FOLDER] [-v]
//!
//! FOLDER holds traces (default: those of 3G and 4G in EDGECUT_DATA, which were recorded on the downlink
//! and are used as uplinks here). Times of both sides are stated constants, not measurements: a device
//! that does 5 multiply-adds a nanosecond (a Raspberry Pi 4's class), a server twenty times as fast, 3
//! bits an element behind the codec at 50 ns an element, JPEG files of 18.6 KiB coded in 1.5 ms.

use std::path::PathBuf;

use edgecut_collab::Trace;
use edgecut_collab::partition::{Placement, Planner, Radio, Transfer, Vertices};
use edgecut_edge::clock::{MS, Time};
use edgecut_edge::policy::{Candidate, MAX_SPLITS, Policy, Reserve};
use edgecut_edge::simulate::{self, Arrivals, Outcome};
use edgecut_graph::{Graph, ValueId, cost};
use edgecut_testkit::files_below;
use edgecut_zoo::{Options, build};

/// What is promised: mean over the oracle's, and the 95th percentile over the better of local-only and
/// JPEG.
const MEAN: f64 = 1.10;
const P95: f64 = 1.05;

const NETS: [&str; 3] = ["mobilenet-v2", "resnet-18", "resnet-50"];

fn candidates(graph: &Graph) -> Vec<Candidate> {
    let nodes = cost::cost(graph, 1).expect("networks of the zoo are valid").nodes;
    let node = |index: usize| {
        let ns = nodes[index].macs / 5 + nodes[index].live_bytes / 4;
        [ns, ns / 20, 0]
    };
    let price = |graph: &Graph, id: ValueId, bytes: u64| match graph.inputs.contains(&id) {
        // A picture has a byte a sample.
        true => Transfer { bytes: bytes / 4, ..Transfer::default() },
        false => {
            let elements = bytes / 4;
            let ns = 50 * elements;
            Transfer { bytes: elements * 3 / 8 + 64, encode_ns: ns, decode_ns: ns / 20 }
        }
    };
    let (_, problem) = Vertices::of_nodes(graph, node, &price).expect("a valid graph");
    let picture = Transfer { bytes: 19_046, encode_ns: 3 * MS / 2, decode_ns: MS / 10 };
    let planner = Planner::new(problem, Radio::LTE, Some(picture));
    Candidate::best(&planner, MAX_SPLITS).into_iter().map(|(candidate, _)| candidate).collect()
}

/// One network, over all traces.
struct Tally {
    traces: usize,
    mean_kept: usize,
    p95_kept: usize,
    missed: usize,
    worst_mean: f64,
    worst_p95: f64,
    /// Sums of mean latencies: ours, local, JPEG, best split, oracle.
    sums: [f64; 5],
}

fn run(name: &str, files: &[PathBuf], reserve: Reserve, verbose: bool) -> Result<(), String> {
    let graph = build(name, &Options::default()).map_err(|e| e.to_string())?;
    let plans = candidates(&graph);
    let of = |placement| plans.iter().filter(move |plan| plan.placement == placement);
    let local = of(Placement::Local).next().expect("always there");
    let jpeg = of(Placement::Picture).next().expect("there is a price");
    let deadline_ns = local.own_ns * 2;
    let arrivals = Arrivals { period_ns: deadline_ns.max(250 * MS), deadline_ns };
    let mut tally = Tally {
        traces: 0,
        mean_kept: 0,
        p95_kept: 0,
        missed: 0,
        worst_mean: 0.0,
        worst_p95: 0.0,
        sums: [0.0; 5],
    };
    for file in files {
        let trace = Trace::read(file).map_err(|e| e.to_string())?;
        let mut policy = Policy::new(plans.clone(), reserve).expect("local-only is a candidate");
        let ours = simulate::policy(&mut policy, &trace, &arrivals);
        let [alone, sent] = [local, jpeg].map(|plan| simulate::fixed(plan, &trace, &arrivals));
        let splits = of(Placement::Split).map(|plan| simulate::fixed(plan, &trace, &arrivals));
        let split = splits.map(|o| o.mean_ms()).fold(f64::INFINITY, f64::min);
        let oracle = simulate::oracle(&plans, &trace, &arrivals);
        tally.add(&ours, [&alone, &sent, &oracle], split);
        if verbose {
            println!(
                "  {:44} ours {:8.1} local {:8.1} jpeg {:9.1} split {:9.1} oracle {:8.1} ms; \
                 p95 {:8.1}, {:8.1}, {:9.1} {:?} {}",
                file.file_name().unwrap_or_default().display(),
                ours.mean_ms(),
                alone.mean_ms(),
                sent.mean_ms(),
                split,
                oracle.mean_ms(),
                ours.quantile_ms(0.95),
                alone.quantile_ms(0.95),
                sent.quantile_ms(0.95),
                ours.marks,
                ours.changes
            );
        }
    }
    tally.print(name, local.own_ns, of(Placement::Split).count(), reserve);
    Ok(())
}

impl Tally {
    fn add(&mut self, ours: &Outcome, [local, jpeg, oracle]: [&Outcome; 3], split: f64) {
        let mean = ours.mean_ms() / oracle.mean_ms();
        let p95 = ours.quantile_ms(0.95) / local.quantile_ms(0.95).min(jpeg.quantile_ms(0.95));
        self.traces += 1;
        self.mean_kept += usize::from(mean <= MEAN);
        self.p95_kept += usize::from(p95 <= P95);
        self.missed += ours.marks[3];
        self.worst_mean = self.worst_mean.max(mean);
        self.worst_p95 = self.worst_p95.max(p95);
        let means = [ours, local, jpeg].map(Outcome::mean_ms);
        let all = [means[0], means[1], means[2], split, oracle.mean_ms()];
        self.sums.iter_mut().zip(all).for_each(|(sum, mean)| *sum += mean);
    }

    fn print(&self, name: &str, local_ns: Time, splits: usize, reserve: Reserve) {
        let [ours, local, jpeg, split, oracle] = self.sums.map(|sum| sum / self.traces as f64);
        println!(
            "{name}, {:.0} ms on the device, {splits} splits, reserve {reserve:?}: mean over \
             {} traces: ours {ours:.1}, local {local:.1}, JPEG {jpeg:.1}, best fixed split \
             {split:.1}, oracle {oracle:.1} ms",
            local_ns as f64 / 1e6,
            self.traces
        );
        println!(
            "  within {:.0} % of the oracle's mean: {} of {}, worst {:+.1} %; p95 within {:.0} % of \
             the better of local and JPEG: {}, worst {:+.1} %; missed deadlines: {}",
            (MEAN - 1.0) * 100.0,
            self.mean_kept,
            self.traces,
            (self.worst_mean - 1.0) * 100.0,
            (P95 - 1.0) * 100.0,
            self.p95_kept,
            (self.worst_p95 - 1.0) * 100.0,
            self.missed
        );
    }
}

fn main() -> Result<(), String> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let verbose = args.iter().any(|arg| arg == "-v");
    args.retain(|arg| arg != "-v");
    let folder = match args.first() {
        Some(folder) => PathBuf::from(folder),
        None => edgecut_testkit::shared_data("traces/sabre-3g4g")
            .ok_or("EDGECUT_DATA has no traces/sabre-3g4g: name a folder of traces")?,
    };
    let files = files_below(&folder, &["json"]);
    if files.is_empty() {
        return Err(format!("{}: no traces (.json) there", folder.display()));
    }
    for name in NETS {
        for reserve in [Reserve::AtOnce, Reserve::Late] {
            run(name, &files, reserve, verbose)?;
        }
    }
    Ok(())
}
