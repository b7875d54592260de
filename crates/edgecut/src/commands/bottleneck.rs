//! `edgecut bottleneck`: a few trained bytes cross instead of a picture.

use std::path::{Path, PathBuf};

use edgecut_collab::bottleneck::{Bottleneck, encoder_macs, widest};
use edgecut_graph::cost::cost;
use edgecut_graph::passes;
use serde::Serialize;

use super::train::{Checkpoint, wrong};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, ModelSettings, TrainSettings};
use crate::stats::Share;
use crate::work::bottleneck::{Jpeg, Narrow, Weights, Whole, accuracy, jpegs};
use crate::work::data;
use crate::work::model::Model;
use crate::work::preprocessing::Preprocessing;
use crate::work::shapes::Shapes;
use crate::work::train::Job;
use crate::{files, progress, term};

/// Learning rate where none is set.
const RATE: f32 = 0.05;

/// A loss of accuracy below this counts as none, in points.
const SMALL: f64 = 1.0;

/// Options of `bottleneck`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut bottleneck model.onnx --data ./flowers --out out/narrow
  edgecut bottleneck resnet20.onnx --data ./cifar10-jpeg --preprocess cifar --epochs 8 --crop 4 \\
      --prices 0.0001,0.0003,0.001 --out out/narrow
  edgecut split out/narrow/price-0.0003/network.onnx --link 1,40 --server 10x

A small encoder on the device makes integers of a picture, a decoder on the server makes of them what
the network has at a cut, and the rest of the network goes on from there. They learn to imitate that
value and the whole network's answers, with a price on each bit of the integers. For each price there is a folder
with the network, its head and tail (ordinary models) and the codec of what crosses; the next price begins
with the network of the one before. The table has pictures that are sent as JPEG files beside it.
The same command after an interruption goes on where it was.")]
pub struct Args {
    /// The model, ONNX or TFLite, float
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    data: DataSettings,
    #[command(flatten)]
    preprocessing: Preprocessing,
    /// Imitate this value [default: the last one that everything passes through in the first 60 % of
    /// the multiply-adds]
    #[arg(long, value_name = "TENSOR")]
    at: Option<String>,
    /// Channels of the integers
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    channels: u16,
    /// Pixels of the picture for each place of the integers, in height and width: 2, 4, 8 or 16
    #[arg(long, value_name = "N", default_value_t = 4)]
    stride: usize,
    /// Largest share of the model's multiply-adds that the encoder takes
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    share: f64,
    /// Channels of the decoder
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    decoder: u16,
    /// Loss of each bit of a picture, one network for each
    #[arg(
        long,
        value_name = "X,...",
        value_delimiter = ',',
        default_value = "0.0001,0.0003,0.001"
    )]
    prices: Vec<f32>,
    /// Share of the loss of answers that is the model's; the rest is that of the labels
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    alpha: f32,
    /// Weight of the value that is imitated; 0 leaves it out
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    feature_weight: f32,
    /// Factor of the learning rate of the model's own layers
    #[arg(long, value_name = "X", default_value_t = 0.2)]
    tail_rate: f32,
    /// Qualities of the JPEG files
    #[arg(long, value_name = "Q,...", value_delimiter = ',', default_value = "5,10,20,40,60,80,95", value_parser = clap::value_parser!(u8).range(1..=100))]
    jpeg: Vec<u8>,
    /// Test pictures that are coded, and made JPEG files
    #[arg(long, value_name = "N", default_value_t = 2000)]
    check: usize,
    #[command(flatten)]
    train: TrainSettings,
    #[command(flatten)]
    checkpoint: Checkpoint,
    /// Folder of the results
    #[arg(long, value_name = "DIR", default_value = "bottleneck")]
    out: PathBuf,
}

/// What `--json` prints, and the file of the report.
#[derive(Serialize)]
struct Output<'a> {
    model: &'a Path,
    data: &'a str,
    note: Option<&'a str>,
    /// The value that is imitated.
    at: String,
    /// Of the whole model on all test pictures.
    whole: Share,
    /// Multiply-adds of the model and of the encoder.
    macs: [u64; 2],
    /// Integers that cross.
    codes: Vec<usize>,
    narrow: Vec<Narrow>,
    jpeg: Vec<Jpeg>,
    /// Bytes of the smallest of each kind that loses less than a point: trained, JPEG files, and these
    /// without tables.
    smallest: [Option<f64>; 3],
}

impl Args {
    fn validate(&self) -> Result<()> {
        self.data.validate().map_err(wrong)?;
        self.train.validate().map_err(wrong)?;
        let within = |name: &str, value: f64, [low, high]: [f64; 2]| {
            let problem = format!("--{name} is {value}, must be {low} to {high}");
            if (low..=high).contains(&value) { Ok(()) } else { Err(Failure::input(problem)) }
        };
        within("alpha", self.alpha.into(), [0.0, 1.0])?;
        within("feature-weight", self.feature_weight.into(), [0.0, 1e6])?;
        within("tail-rate", self.tail_rate.into(), [0.0, 1000.0])?;
        within("share", self.share, [1e-6, 1.0])?;
        self.prices.iter().try_for_each(|&price| within("prices", price.into(), [0.0, 1e3]))
    }
}

/// Trains narrow places.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    args.validate()?;
    let mut model = Model::load_float(&args.model, &Shapes::default())?;
    let card = model.card();
    let preprocess = args.preprocessing.choose(&card)?;
    let data = data::open(&args.data, None)?;
    passes::simplify(&mut model.graph)?;
    let at = Whole::place(&model.graph, args.at.as_deref()).map_err(|e| e.at(&args.model))?;
    let [channels, decoder] = [args.channels, args.decoder].map(usize::from);
    let size = Bottleneck { channels, stride: args.stride, encoder: 0, decoder };
    let size = widest(&model.graph, at, size, args.share)?;
    let whole = Whole { graph: &model.graph, preprocess: &preprocess, at, size };
    files::make_folder(&args.out)?;
    let mut graph = whole.begin(args.train.seed)?;
    let macs = [cost(&model.graph, 1)?.macs, encoder_macs(&graph)?];
    let name = model.graph.value(at).name.clone();
    progress::say(
        global,
        &format!(
            "imitates '{name}'; encoder of {} channels, {} multiply-adds",
            size.encoder, macs[1]
        ),
    );
    let settings = TrainSettings { lr: args.train.lr.or(Some(RATE)), ..args.train.clone() };
    let mut narrow = vec![];
    for &price in &args.prices {
        let folder = args.out.join(format!("price-{price}"));
        let job = Job {
            data: &data,
            model: &ModelSettings::default(),
            preprocessing: None,
            settings: &settings,
            checkpoint: args.checkpoint.folder(&folder),
            every: args.checkpoint.every()?,
            restart: args.checkpoint.restart,
        };
        let weights = Weights {
            price,
            alpha: args.alpha,
            feature: args.feature_weight,
            tail_rate: args.tail_rate,
        };
        graph = whole.train(global, &job, graph, weights)?;
        narrow.push(whole.measure(global, &graph, &data, (price, args.check), &folder)?);
    }
    let top1 = accuracy(global, &model.graph, &global.pool(), &data.test, &preprocess)?;
    let jpeg = jpegs(global, &whole, &data, &card, &args.jpeg, args.check)?;
    let side = |side: usize| side / size.stride;
    let output = Output {
        model: &args.model,
        data: &args.data.source,
        note: data.note.as_deref(),
        at: name,
        whole: top1,
        macs,
        codes: vec![size.channels, side(preprocess.height), side(preprocess.width)],
        smallest: smallest(&top1, &narrow, &jpeg),
        narrow,
        jpeg,
    };
    files::write_json(&args.out.join("report.json"), &output)?;
    if global.json { files::print_json(&output) } else { print(&output, &args.out) }
}

fn smallest(whole: &Share, narrow: &[Narrow], jpeg: &[Jpeg]) -> [Option<f64>; 3] {
    let least = |sizes: &mut dyn Iterator<Item = f64>| sizes.min_by(f64::total_cmp);
    let close = |narrow: &&Narrow| whole.percent - narrow.top1.percent < SMALL;
    let same = |jpeg: &&Jpeg| jpeg.top1[0].percent - jpeg.top1[1].percent < SMALL;
    [
        least(&mut narrow.iter().filter(close).map(|n| n.bytes)),
        least(&mut jpeg.iter().filter(same).map(|j| j.bytes)),
        least(&mut jpeg.iter().filter(same).map(|j| j.scan_bytes)),
    ]
}

fn print(output: &Output, out: &Path) -> Result<()> {
    let points = |lost: f64| format!("{lost:+.2}");
    let number = |bytes: f64| format!("{bytes:.0}");
    let mut rows = vec![];
    for narrow in &output.narrow {
        rows.push(vec![
            format!("trained, price {}", narrow.price),
            number(narrow.bytes),
            String::new(),
            term::percent(narrow.top1.percent),
            points(narrow.top1.percent - output.whole.percent),
        ]);
    }
    for jpeg in &output.jpeg {
        let [whole, sent] = jpeg.top1.map(|share| share.percent);
        rows.push(vec![
            format!("JPEG, quality {}", jpeg.quality),
            number(jpeg.bytes),
            number(jpeg.scan_bytes),
            term::percent(sent),
            points(sent - whole),
        ]);
    }
    let header = ["sent", "bytes", "without tables", "top-1", "points"];
    files::print(&term::table(&header, &[1, 2, 3, 4], &rows));
    let [all, own] = output.macs;
    files::print(&format!(
        "whole model {} on {} test pictures; the device computes {} of {} multiply-adds ({})",
        term::percent(output.whole.percent),
        term::count(output.whole.total as u64),
        term::short_count(own),
        term::short_count(all),
        term::percent(100.0 * own as f64 / all.max(1) as f64),
    ));
    if let [Some(trained), jpeg, scan] = output.smallest {
        let times = |bytes: Option<f64>| match bytes {
            Some(bytes) => format!("{:.1}x", bytes / trained),
            None => "no JPEG file does; unknown times".into(),
        };
        files::print(&format!(
            "with less than a point lost: {trained:.0} bytes; JPEG files take {} as many, {} without tables",
            times(jpeg),
            times(scan)
        ));
    }
    if let Some(note) = output.note {
        files::print(note);
    }
    files::print(&out.join("report.json").display().to_string());
    Ok(())
}
