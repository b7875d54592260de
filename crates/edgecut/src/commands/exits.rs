//! `edgecut exits`: answers on the way through a network.

use std::path::{Path, PathBuf};

use edgecut_collab::exits::{adopt, alone, attach, learners};
use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, ValueId};
use serde::Serialize;

use super::train::{Checkpoint, wrong};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, ModelSettings, TrainSettings};
use crate::stats::Share;
use crate::work::data;
use crate::work::model::{self, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::work::train::{Job, Start, train};
use crate::{files, term};

/// Options of `exits`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut exits model.onnx --data ./flowers --after relu_10_out,relu_17_out --epochs 2 --out exits.onnx
  edgecut cascade exits.onnx exits.onnx --data ./flowers --epsilon 0.01
  edgecut split exits.onnx --link 5,40 --server 10x --at relu_17_out

An exit is a mean over the pixels of a value and a linear layer on it. Exits are trained one by one, the
network stays as it is, bit for bit. The result has an output for each exit, in their order, and the
network's own last. cascade finds from which confidence on they may answer; cut at such a value, the
device's half has an answer of its own.")]
pub struct Args {
    /// The model, ONNX or TFLite, float
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Values that get an exit, in order
    #[arg(long, required = true, value_name = "TENSOR,...", value_delimiter = ',')]
    after: Vec<String>,
    #[command(flatten)]
    train: TrainSettings,
    #[command(flatten)]
    checkpoint: Checkpoint,
    /// Where to write the model with exits
    #[arg(long, value_name = "MODEL.onnx", default_value = "exits.onnx")]
    out: PathBuf,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    data: &'a str,
    note: Option<&'a str>,
    exits: Vec<Exit>,
    written: &'a Path,
}

/// A trained exit.
#[derive(Serialize)]
struct Exit {
    /// The value that it reads.
    after: String,
    /// Share of the network's multiply-adds up to its answer.
    macs: f64,
    /// Top-1 accuracy on the test part.
    top1: Option<Share>,
}

/// Trains exits.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    args.data.validate().map_err(wrong)?;
    args.train.validate().map_err(wrong)?;
    files::check_writable(&args.out)?;
    model::format(&args.out)?;
    let model = Model::load_float(&args.model, &Shapes::default())?;
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&args.data, None)?;
    let (classes, own) = (data.train.classes().len(), model.card().class_count()?);
    if classes != own {
        let problem = format!("has {own} classes, the data has {classes}");
        return Err(Failure::input(problem).at(&args.model));
    }
    let at = args.after.iter().map(|name| place(&model.graph, name)).collect::<Result<Vec<_>>>()?;
    let mut graph = attach(&model.graph, &at, classes, args.train.seed)?;
    let all = cost(&model.graph, 1)?.macs.max(1) as f64;
    let mut exits = vec![];
    for (number, after) in args.after.iter().enumerate() {
        let begin = alone(&graph, number)?;
        let macs = cost(&begin, 1)?.macs as f64 / all;
        // Only the exit learns; what BatchNorm knows of the data stays.
        let still = ModelSettings {
            freeze: vec!["*".into()],
            fixed_statistics: true,
            ..ModelSettings::default()
        };
        let job = Job {
            data: &data,
            model: &still,
            preprocessing: None,
            settings: &args.train,
            checkpoint: args.checkpoint.folder(&args.out).join(number.to_string()),
            every: args.checkpoint.every()?,
            restart: args.checkpoint.restart,
        };
        let head = learners(&begin);
        let start = Start { graph: begin, preprocess: preprocess.clone(), assumed: false, head };
        let outcome = train(global, &job, &start, None)?;
        adopt(&mut graph, &outcome.graph, number);
        graph.metadata.extend(outcome.graph.metadata);
        let counts = outcome.validation.map(|found| found.counts);
        let top1 = counts.map(|c| Share::of(c.top1 as usize, c.total as usize));
        exits.push(Exit { after: after.clone(), macs, top1 });
    }
    model::save(&graph, &args.out)?;
    let output = Output {
        model: &args.model,
        data: &args.data.source,
        note: data.note.as_deref(),
        exits,
        written: &args.out,
    };
    if global.json { files::print_json(&output) } else { print(&output) }
}

fn place(graph: &Graph, name: &str) -> Result<ValueId> {
    let found = graph.find_value(name).filter(|id| graph.constant(*id).is_none());
    found.ok_or_else(|| {
        let values = graph.nodes.iter().map(|node| graph.value(node.output()));
        let images = values.filter(|value| value.shape.rank() == 4);
        let names: Vec<&str> = images.map(|value| value.name.as_str()).collect();
        Failure::input(format!("--after {name}: there is no such value"))
            .hint(format!("there are {}", names.join(", ")))
    })
}

fn print(output: &Output) -> Result<()> {
    let row = |(number, exit): (usize, &Exit)| {
        let top1 = exit.top1.map_or("–".into(), |top1| term::percent(top1.percent));
        vec![number.to_string(), exit.after.clone(), term::percent(100.0 * exit.macs), top1]
    };
    let rows: Vec<Vec<String>> = output.exits.iter().enumerate().map(row).collect();
    files::print(&term::table(&["exit", "after", "multiply-adds", "top-1"], &[0, 2, 3], &rows));
    if let Some(note) = output.note {
        files::print(note);
    }
    files::print(&output.written.display().to_string());
    Ok(())
}
