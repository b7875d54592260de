//! `edgecut prune`: a model in, one with fewer channels out.

use std::path::{Path, PathBuf};

use edgecut_compress::prune::{Channels, Pinned};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{Amount, DataSettings, PruneSettings, Worth, Wrong};
use crate::work::calibrate::Sample;
use crate::work::data;
use crate::work::model::{self, Format, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::prune::{Goal, LayerChange, Measure, Measures, SparseArgs, changes, prune};
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Options of `prune`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut prune model.onnx --macs 0.5x --out pruned.onnx
  edgecut prune model.onnx --latency 0.5x --threads 1 --out pruned.onnx
  edgecut prune model.onnx --ratio 0.3 --rank layer --importance l1 --out pruned.onnx
  edgecut prune model.onnx --params 1.5M --importance activation --data ./flowers --out pruned.onnx
  edgecut distill pruned.onnx model.onnx --data ./flowers --out better.onnx
  edgecut prune model.onnx --sparsity 0.8 --out sparse.onnx
  edgecut distill sparse.onnx model.onnx --data ./flowers --keep-zeros --out better.onnx

Whole channels go, with the rows and columns of all weights that make and read them, however the model
reshapes, splits, shuffles or joins them, in float and in int8. Inputs and outputs stay. A pruned model
has forgotten something: train it on (the last example) before it is used. -v and --json say which channels cannot go, and why.")]
#[command(group(clap::ArgGroup::new("target").required(true).args(["sparsity", "ratio", "macs", "params", "size", "memory", "latency"])))]
pub struct Args {
    /// The model, ONNX or TFLite
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    shapes: Shapes,
    /// Remove this share of the channels, 0 to 1
    #[arg(long, value_name = "SHARE")]
    ratio: Option<f64>,
    /// Until at most so many multiply-adds are left: 0.5x, or a number such as 150M
    #[arg(long, value_name = "AMOUNT", value_parser = Amount::count)]
    macs: Option<Amount>,
    /// Until at most so many parameters are left: 0.5x, or a number such as 1.5M
    #[arg(long, value_name = "AMOUNT", value_parser = Amount::count)]
    params: Option<Amount>,
    /// Until the ONNX file is at most so large: 0.5x, or a size such as 500KiB
    #[arg(long, value_name = "AMOUNT", value_parser = Amount::bytes)]
    size: Option<Amount>,
    /// Until activations take at most so much memory here: 0.5x, or a size such as 500KiB
    #[arg(long, value_name = "AMOUNT", value_parser = Amount::bytes)]
    memory: Option<Amount>,
    /// Until a picture takes at most so long on this machine, with the threads given, as measured:
    /// 0.5x, or a time such as 3ms
    #[arg(long, value_name = "AMOUNT", value_parser = Amount::time)]
    latency: Option<Amount>,
    #[command(flatten)]
    sparse: SparseArgs,
    #[command(flatten)]
    prune: PruneSettings,
    /// Pictures for importance activation: a name or a path, as for train
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Where to write the pruned model: .onnx or .tflite
    #[arg(long, value_name = "PRUNED", default_value = "pruned.onnx")]
    out: PathBuf,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    bytes: u64,
    settings: &'a PruneSettings,
    goal: Goal,
    /// Whether the goal is reached.
    met: bool,
    before: Measures,
    after: Measures,
    /// Coupled groups of channels, channels in them, and channels that went.
    groups: usize,
    channels: usize,
    removed: usize,
    layers: &'a [LayerChange],
    pinned: &'a [Pinned],
}

/// Prunes.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let wrong = |w: Wrong| Failure::input(format!("--{} {}", w.field.replace('_', "-"), w.problem));
    args.prune.validate().map_err(wrong)?;
    let ratio = args.ratio.unwrap_or(0.5);
    if !(ratio > 0.0 && ratio < 1.0) {
        return Err(Failure::input(format!("--ratio is {ratio}, must be between 0 and 1")));
    }
    files::check_writable(&args.out)?;
    if model::format(&args.out)? == Format::Ecut {
        return Err(Failure::input("a pruned model is .onnx or .tflite")
            .at(&args.out)
            .hint("pack it with: edgecut convert pruned.onnx --out pruned.ecut"));
    }
    let model = Model::load_with(&args.model, &args.shapes)?;
    if let Some(sparsity) = args.sparse.sparsity {
        return args.sparse.run(sparsity, &model.graph, (&args.model, &args.out), global);
    }
    let sample = sample(args, &model)?;
    let channels = Channels::of(&model.graph).map_err(|e| Failure::from(e).at(&args.model))?;
    if channels.groups.is_empty() {
        return Err(Failure::input("has no channel that can be removed").at(&args.model));
    }
    let pool = global.pool();
    let goal = goal(args, global, &channels, &pool)?;
    let cut = prune(global, &channels, (&args.prune, &goal), sample.as_ref(), &pool);
    let cut = cut.map_err(|e| e.at(&args.model))?;
    model::save(&cut.graph, &args.out)?;
    let (sha256, bytes) = files::digest(&args.out)?;
    let [before, after] = Measures::both(global, [channels.graph(), &cut.graph], &pool)?;
    let layers = changes(channels.graph(), &cut.graph)?;
    let output = Output {
        model: &args.out,
        sha256,
        bytes,
        settings: &args.prune,
        goal,
        met: cut.met,
        before,
        after,
        groups: channels.groups.len(),
        channels: channels.groups.iter().map(|group| group.channels.len()).sum(),
        removed: cut.plan.len(),
        layers: &layers,
        pinned: &channels.pinned,
    };
    if global.json {
        files::print_json(&output)?;
    } else {
        show(args, global, &output);
    }
    if cut.met {
        return Ok(());
    }
    Err(Failure::not_met(format!(
        "the target cannot be met: {} is as small as it gets with --max-ratio {} and --min-channels {}",
        quantity(goal.measure, cut.value),
        args.prune.max_ratio,
        args.prune.min_channels
    )))
}

/// The pictures that importances look at, where they do.
fn sample(args: &Args, model: &Model) -> Result<Option<Sample>> {
    let needed = args.prune.importance == Worth::Activation;
    let Some(source) = args.data.clone().filter(|_| needed) else {
        return match needed {
            true => Err(Failure::input("--importance activation looks at pictures; give --data")),
            false => Ok(None),
        };
    };
    let settings = DataSettings { source, validation: 0.2, limit: None, classes: None };
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&settings, None)?;
    Ok(Some(Sample::new(&data.train, &preprocess, args.prune.images)?))
}

/// The target that the options state, in its unit.
fn goal(
    args: &Args,
    global: &Global,
    channels: &Channels,
    pool: &std::sync::Arc<edgecut_kernels::Pool>,
) -> Result<Goal> {
    if let Some(ratio) = args.ratio {
        return Ok(Goal { measure: Measure::Ratio, at_most: ratio });
    }
    let targets = [
        (Measure::Macs, args.macs),
        (Measure::Params, args.params),
        (Measure::Size, args.size),
        (Measure::Memory, args.memory),
        (Measure::Latency, args.latency),
    ];
    let stated = targets.into_iter().find_map(|(measure, amount)| Some((measure, amount?)));
    let (measure, amount) =
        stated.ok_or_else(|| Failure::input("give a target, such as --macs 0.5x"))?;
    let graph = channels.graph();
    let [before, _] = Measures::both(global, [graph, graph], pool)?;
    Ok(Goal { measure, at_most: amount.of(before.by(measure)) })
}

fn show(args: &Args, global: &Global, output: &Output) {
    let rows: Vec<Vec<String>> = output.layers.iter().map(row).collect();
    let header = ["layer", "op", "channels", "left", "MACs", "left", "params", "left"];
    files::print(&term::table(&header, &[2, 3, 4, 5, 6, 7], &rows));
    if global.verbose > 0 {
        for pinned in output.pinned {
            let by = pinned.by.as_ref().map_or(String::new(), |node| format!(" ('{node}')"));
            files::print(&format!(
                "'{}': {} of {} channels stay: {}{by}",
                pinned.node, pinned.channels, pinned.of, pinned.why
            ));
        }
    }
    let (before, after) = (&output.before, &output.after);
    files::print(&format!(
        "{} of {} channels removed, in {} groups",
        output.removed, output.channels, output.groups
    ));
    let measures =
        [Measure::Macs, Measure::Params, Measure::Size, Measure::Memory, Measure::Latency];
    for measure in measures {
        let (old, new) = (before.by(measure), after.by(measure));
        files::print(&format!(
            "{:<10} {:>10} of {:>10} ({:.2}x)",
            format!("{measure:?}").to_lowercase(),
            quantity(measure, new),
            quantity(measure, old),
            new / old.max(1e-9)
        ));
    }
    files::print(&format!("{} written, {}", args.out.display(), term::bytes(output.bytes)));
    files::print(&format!(
        "train it on: edgecut distill {} {} --data DATA --out better.onnx",
        args.out.display(),
        args.model.display()
    ));
}

fn row(layer: &LayerChange) -> Vec<String> {
    vec![
        layer.node.clone(),
        layer.op.to_string(),
        layer.channels_before.to_string(),
        layer.channels_after.to_string(),
        term::short_count(layer.macs_before),
        term::short_count(layer.macs_after),
        term::short_count(layer.params_before),
        term::short_count(layer.params_after),
    ]
}

fn quantity(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Ratio => format!("{value}"),
        Measure::Macs | Measure::Params => term::short_count(value as u64),
        Measure::Size | Measure::Memory => term::bytes(value as u64),
        Measure::Latency => format!("{value:.3} ms"),
    }
}
