//! `edgecut prune`: a model in, one with fewer channels out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_compress::prune::{Channels, Pinned};
use edgecut_kernels::Pool;
use edgecut_train::data::{Data, Preprocess};
use serde::Serialize;

use super::train::{Checkpoint, wrong};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{Amount, DataSettings, PruneSettings, RecoverSettings};
use crate::stats::Share;
use crate::work::calibrate::Sample;
use crate::work::data;
use crate::work::model::{self, Format, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::prune::{
    Achieved, Goal, GroupSensitivity, Journal, LayerChange, LowRankArgs, Measure, Measures,
    Pictures, Progressed, Progressive, SHARES, Sensitivity, SparseArgs, StepRecord, What, changes,
    scores, show_steps,
};
use crate::work::shapes::Shapes;
use crate::{files, term};

/// Options of `prune`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut prune model.onnx --macs 0.5x --out pruned.onnx
  edgecut prune model.onnx --latency 0.5x --threads 1 --out pruned.onnx
  edgecut prune model.onnx --ratio 0.3 --rank layer --importance l1 --out pruned.onnx
  edgecut prune model.onnx --params 1.5M --importance taylor --data ./flowers --out pruned.onnx
  edgecut prune model.onnx --macs 0.5x --steps 4 --epochs 3 --data ./flowers --out pruned.onnx
  edgecut distill pruned.onnx model.onnx --data ./flowers --out better.onnx
  edgecut prune model.onnx --sparsity 0.8 --out sparse.onnx
  edgecut distill sparse.onnx model.onnx --data ./flowers --keep-zeros --out better.onnx
  edgecut prune model.onnx --low-rank 0.6x --out thin.onnx

Whole channels go, with the rows and columns of all weights that make and read them, however the model
reshapes, splits, shuffles or joins them, in float and in int8. Inputs and outputs stay. A pruned model
has forgotten something: train it on before it is used, with --epochs, in one step or in several (progressive
pruning), taught by the model as it was; or with distill. Steps, accuracies and checkpoints are kept in
the folder PRUNED.work; the same command after an interruption (also kill -9) goes on where it was.
-v and --json say which channels cannot go, and why.")]
#[command(group(clap::ArgGroup::new("target").required(true).args(["sparsity", "low_rank", "depth", "sensitivity", "ratio", "macs", "params", "size", "memory", "latency"])))]
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
    /// Remove so many residual blocks instead of channels, those first without which the loss on
    /// training pictures is least
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    depth: Option<u16>,
    /// Prune nothing: say what the model loses on training pictures without a tenth to nine tenths of
    /// each group of channels, one group at a time
    #[arg(long)]
    sensitivity: bool,
    #[command(flatten)]
    sparse: SparseArgs,
    #[command(flatten)]
    low_rank: LowRankArgs,
    #[command(flatten)]
    prune: PruneSettings,
    #[command(flatten)]
    recover: RecoverSettings,
    /// Pictures for training and for importances taylor, hessian and activation: a name or a path, as
    /// for train
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// Use at most this many training pictures (the first ones of a seeded shuffle)
    #[arg(long, value_name = "N", requires = "data")]
    limit: Option<usize>,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Where to write the pruned model: .onnx or .tflite
    #[arg(long, value_name = "PRUNED", default_value = "pruned.onnx")]
    out: PathBuf,
    #[command(flatten)]
    checkpoint: Checkpoint,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    sha256: String,
    bytes: u64,
    settings: &'a PruneSettings,
    recover: &'a RecoverSettings,
    goal: Goal,
    /// Whether the goal is reached.
    met: bool,
    before: Measures,
    after: Measures,
    /// Coupled groups of channels, channels in them, and channels that went.
    groups: usize,
    channels: usize,
    removed: usize,
    /// Accuracy on the test pictures before, where there are any.
    accuracy_before: Option<Share>,
    /// The steps.
    steps: &'a [StepRecord],
    layers: &'a [LayerChange],
    pinned: &'a [Pinned],
}

/// Prunes.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    check(args)?;
    let model = Model::load_with(&args.model, &args.shapes)?;
    let data = open(args, &model)?;
    let pictures = data.as_ref().map(|(data, preprocess)| Pictures { data, preprocess });
    let pool = global.pool();
    let progressive = Progressive {
        global,
        what: What::Channels(&args.prune),
        recover: &args.recover,
        seed: args.prune.seed,
        pictures: pictures.as_ref(),
        folder: &args.checkpoint.folder(&args.out),
        every: args.checkpoint.every()?,
        restart: args.checkpoint.restart,
        pool: &pool,
    };
    if let Some(sparsity) = args.sparse.sparsity {
        let settings = args.sparse.settings(sparsity, args.prune.images)?;
        let progressive = Progressive { what: What::Weights(&settings), ..progressive };
        return settings.run(&progressive, &model.graph, (&args.model, &args.out));
    }
    if let Some(keep) = args.low_rank.low_rank {
        if args.recover.trains() {
            return Err(Failure::input("--low-rank does not train; distill what it writes"));
        }
        return args.low_rank.run(keep, &model.graph, (&args.model, &args.out), global);
    }
    let channels = Channels::of(&model.graph).map_err(|e| Failure::from(e).at(&args.model))?;
    if channels.groups.is_empty() && args.depth.is_none() {
        return Err(Failure::input("has no channel that can be removed").at(&args.model));
    }
    if args.sensitivity {
        return sensitivity(args, global, &channels, pictures.as_ref(), &pool);
    }
    let (goal, stated) = goal(args, global, &channels, &pool)?;
    let progressive = match args.depth {
        Some(_) => Progressive { what: What::Blocks(args.prune.images), ..progressive },
        None => progressive,
    };
    let pruned = match args.recover.steps > 1 || args.recover.trains() {
        true => progressive.run(channels.graph(), goal, &stated),
        false => progressive.once(channels.graph(), goal),
    };
    let Progressed { graph, journal } = pruned.map_err(|e| e.at(&args.model))?;
    model::save(&graph, &args.out)?;
    let (sha256, bytes) = files::digest(&args.out)?;
    let [before, after] = Measures::both(global, [channels.graph(), &graph], &pool)?;
    let layers = changes(channels.graph(), &graph)?;
    let last = journal.steps.last();
    let output = Output {
        model: &args.out,
        sha256,
        bytes,
        settings: &args.prune,
        recover: &args.recover,
        goal: journal.goal,
        met: last.is_some_and(|step| step.met),
        before,
        after,
        groups: channels.groups.len(),
        channels: channels.groups.iter().map(|group| group.channels.len()).sum(),
        removed: journal.steps.iter().map(|step| step.removed).sum(),
        accuracy_before: journal.accuracy_before,
        steps: &journal.steps,
        layers: &layers,
        pinned: &channels.pinned,
    };
    if global.json {
        files::print_json(&output)?;
    } else {
        show(args, global, &output, &journal);
    }
    if output.met {
        return Ok(());
    }
    if args.depth.is_some() {
        let found = output.removed;
        return Err(Failure::not_met(format!("the model has no more than {found} such blocks")));
    }
    Err(Failure::not_met(format!(
        "the target cannot be met: {} is as small as it gets with --max-ratio {} and --min-channels {}",
        goal.measure.say(last.map_or(0.0, |step| step.reached)),
        args.prune.max_ratio,
        args.prune.min_channels
    )))
}

/// Measures and shows what each group means to the network.
fn sensitivity(
    args: &Args,
    global: &Global,
    channels: &Channels,
    pictures: Option<&Pictures>,
    pool: &Arc<Pool>,
) -> Result<()> {
    let Some(Pictures { data, preprocess }) = pictures else { return check(args) };
    let sample = Sample::new(&data.train, preprocess, args.prune.images)?;
    let scores = scores(global, channels, &args.prune, Some(&sample), pool)?;
    let found = Sensitivity::measure(global, channels, &scores, &sample, pool)?;
    if global.json {
        return files::print_json(&found);
    }
    let shares = SHARES.map(|share| format!("-{:.0} %", 100.0 * share));
    let header: Vec<&str> =
        ["group", "channels"].into_iter().chain(shares.iter().map(String::as_str)).collect();
    let table = |of: fn(&Achieved) -> String| {
        let row = |group: &GroupSensitivity| {
            let named = [group.group.clone(), group.channels.to_string()];
            named.into_iter().chain(group.points.iter().map(|p| of(&p.achieved))).collect()
        };
        let rows: Vec<Vec<String>> = found.groups.iter().map(row).collect();
        files::print(&term::table(&header, &[1, 2, 3, 4, 5, 6], &rows));
    };
    table(|achieved| format!("{:.1} %", achieved.accuracy));
    table(|achieved| format!("{:.3}", achieved.loss));
    files::print(&format!(
        "accuracy {:.1} % and loss {:.3} of the whole model on {} training pictures",
        found.before.accuracy, found.before.loss, found.pictures
    ));
    Ok(())
}

/// Fails where an option is out of range or does not fit another.
fn check(args: &Args) -> Result<()> {
    args.prune.validate().map_err(wrong)?;
    args.recover.validate().map_err(wrong)?;
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
    let missing = |what: &str| Err(Failure::input(format!("{what}; give --data")));
    match args.data {
        None if args.recover.trains() => missing("--epochs trains on pictures"),
        None if args.prune.needs_images() => {
            missing("this --importance or --rank looks at pictures")
        }
        None if args.sparse.sparsity.is_some() && args.sparse.by.saliency().is_some() => {
            missing("this --by looks at pictures")
        }
        None if args.depth.is_some() => missing("--depth looks at pictures"),
        None if args.sensitivity => missing("--sensitivity looks at pictures"),
        _ => Ok(()),
    }
}

/// The pictures, where there are any, and how they become the model's input.
fn open(args: &Args, model: &Model) -> Result<Option<(Data, Preprocess)>> {
    let Some(source) = args.data.clone() else { return Ok(None) };
    let settings = DataSettings { source, validation: 0.2, limit: args.limit, classes: None };
    let preprocess = args.preprocessing.choose(&model.card())?;
    let data = data::open(&settings, None)?;
    let (known, needed) = (model::class_count(&model.graph)?, data.train.classes().len());
    if known != needed {
        let problem = format!("has {known} classes, the data has {needed}");
        return Err(Failure::input(problem).at(&args.model));
    }
    Ok(Some((data, preprocess)))
}

/// The target that the options state, in its unit, and as it is stated.
fn goal(
    args: &Args,
    global: &Global,
    channels: &Channels,
    pool: &Arc<Pool>,
) -> Result<(Goal, String)> {
    if let Some(depth) = args.depth {
        let goal = Goal { measure: Measure::Blocks, at_most: depth.into(), before: 0.0 };
        return Ok((goal, format!("depth {depth}")));
    }
    if let Some(ratio) = args.ratio {
        let goal = Goal { measure: Measure::Ratio, at_most: ratio, before: 1.0 };
        return Ok((goal, format!("ratio {ratio}")));
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
    let before = before.by(measure);
    let goal = Goal { measure, at_most: amount.of(before), before };
    Ok((goal, format!("{measure:?} {amount:?}")))
}

fn show(args: &Args, global: &Global, output: &Output, journal: &Journal) {
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
    show_steps(journal);
    let (before, after) = (&output.before, &output.after);
    let (removed, channels, groups) = (output.removed, output.channels, output.groups);
    files::print(&match args.depth {
        Some(_) => format!("{removed} blocks removed"),
        None => format!("{removed} of {channels} channels removed, in {groups} groups"),
    });
    let measures =
        [Measure::Macs, Measure::Params, Measure::Size, Measure::Memory, Measure::Latency];
    for measure in measures {
        let (old, new) = (before.by(measure), after.by(measure));
        files::print(&format!(
            "{:<10} {:>10} of {:>10} ({:.2}x)",
            format!("{measure:?}").to_lowercase(),
            measure.say(new),
            measure.say(old),
            new / old.max(1e-9)
        ));
    }
    files::print(&format!("{} written, {}", args.out.display(), term::bytes(output.bytes)));
    if args.recover.trains() {
        return;
    }
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
