//! Networks with a narrow place: trained from the whole one, cut, coded, measured.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_collab::Halves;
use edgecut_collab::bottleneck::{self, Bottleneck, CODES, DECODED};
use edgecut_collab::codec::Codec;
use edgecut_compress::Images;
use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::{Isa, Pool};
use edgecut_train::data::{Data, Dataset, Preprocess};
use edgecut_train::distill::{
    AnswerLoss, Distillation, FeatureLoss, FeatureMatch, Guide, RateTerm, TeacherModel,
};
use serde::Serialize;

use super::calibrate::Sample;
use super::card::Card;
use super::classify::classify;
use super::model;
use super::split::pictures::Pictures;
use super::split::proof::{self, Runner};
use super::train::{Job, Start, train};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files;
use crate::settings::{ModelSettings, Rate};
use crate::stats::Share;

/// Training pictures that the codec's probabilities are counted on.
const CALIBRATED: usize = 1024;

/// Bits that integers are coded in: all of them.
const LOSSLESS: u8 = 8;

/// Softness of the whole network's answers.
const TEMPERATURE: f32 = 4.0;

/// The part of a cut's multiply-adds that is before it, where nobody names one.
const DEEP: f64 = 0.6;

/// A network that is to get a narrow place.
pub struct Whole<'a> {
    /// The network.
    pub graph: &'a Graph,
    /// How pictures become its input.
    pub preprocess: &'a Preprocess,
    /// What imitates this value is put in its place.
    pub at: ValueId,
    /// The narrow place.
    pub size: Bottleneck,
}

/// What is worth how much while a narrow place is trained.
#[derive(Clone, Copy, Debug)]
pub struct Weights {
    /// Loss of each bit of a picture.
    pub price: f32,
    /// Share of the loss of answers that is the whole network's; the rest is that of the labels.
    pub alpha: f32,
    /// Of the value that is imitated.
    pub feature: f32,
    /// Factor of the learning rate of what was there before.
    pub tail_rate: f32,
}

/// A trained narrow place.
#[derive(Clone, Debug, Serialize)]
pub struct Narrow {
    /// Loss of each bit of a picture in training.
    pub price: f32,
    /// Top-1 accuracy on all test pictures.
    pub top1: Share,
    /// Mean bytes of a test picture, header and all.
    pub bytes: f64,
    /// Bits for each integer that crosses.
    pub bits_per_code: f64,
    /// Network, head, tail and codec.
    pub files: [PathBuf; 4],
}

/// Pictures as JPEG files of one quality to the whole network.
#[derive(Clone, Debug, Serialize)]
pub struct Jpeg {
    /// 1 to 100.
    pub quality: u8,
    /// Of the whole network on the same pictures, and as JPEG files.
    pub top1: [Share; 2],
    /// Mean bytes of a file.
    pub bytes: f64,
    /// Without its tables, which files of a size and quality share.
    pub scan_bytes: f64,
}

impl Whole<'_> {
    /// The value called `name`, or the last one that everything passes through with at most some part of
    /// the multiply-adds before it.
    pub fn place(graph: &Graph, name: Option<&str>) -> Result<ValueId> {
        let cuts = bottleneck::cuts(graph);
        let names = || {
            let names: Vec<&str> = cuts.iter().map(|id| graph.value(*id).name.as_str()).collect();
            names.join(", ")
        };
        if let Some(name) = name {
            let found = cuts.iter().find(|id| graph.value(**id).name == name).copied();
            return found.ok_or_else(|| {
                Failure::input(format!("--at {name}: not everything passes through such a value"))
                    .hint(format!("there are {}", names()))
            });
        }
        let costs = cost(graph, 1)?;
        let producers = graph.producers();
        let before = |id: &ValueId| {
            let end = producers[id.index()].map_or(0, |node| node + 1);
            let macs: u64 = costs.nodes[..end].iter().map(|node| node.macs).sum();
            macs as f64 <= DEEP * costs.macs as f64
        };
        let found = cuts.iter().rfind(|id| before(id)).copied();
        found.ok_or_else(|| Failure::input("there is no value that everything passes through"))
    }

    /// The network to begin with.
    pub fn begin(&self, seed: u64) -> Result<Graph> {
        Ok(bottleneck::insert(self.graph, self.at, self.size, seed)?)
    }

    /// Trains `begin`.
    pub fn train(
        &self,
        global: &Global,
        job: &Job,
        begin: Graph,
        weights: Weights,
    ) -> Result<Graph> {
        let added = |node: &&edgecut_graph::Node| node.name.starts_with(bottleneck::PREFIX);
        let rounds = |op: &edgecut_graph::Op| matches!(op, edgecut_graph::Op::Quantize { .. });
        let new = begin.nodes.iter().filter(added).filter(|node| !rounds(&node.op));
        let head = new.map(|node| node.name.clone()).collect();
        let all = Rate { pattern: "*".into(), factor: weights.tail_rate };
        // Whole numbers stay one apart: the encoder says how large its codes are.
        let freeze = vec![format!("{}quantize", bottleneck::PREFIX)];
        let model = ModelSettings { freeze, lr_mult: vec![all], ..ModelSettings::default() };
        let job = Job { model: &model, checkpoint: job.checkpoint.clone(), ..*job };
        let preprocess = self.preprocess.clone();
        let start = Start { graph: begin, preprocess, assumed: false, head };
        let mut guide = self.guide(global, weights)?;
        Ok(train(global, &job, &start, Some(&mut guide))?.graph)
    }

    fn guide(&self, global: &Global, weights: Weights) -> Result<Guide> {
        let feature = FeatureMatch {
            loss: FeatureLoss::Same,
            weight: weights.feature,
            student: DECODED.into(),
            teacher: self.graph.value(self.at).name.clone(),
        };
        let distillation = Distillation {
            labels: 1.0 - weights.alpha,
            answers: weights.alpha,
            loss: AnswerLoss::Soft { temperature: TEMPERATURE },
            features: if weights.feature > 0.0 { vec![feature] } else { vec![] },
            rates: vec![RateTerm { value: CODES.into(), weight: weights.price }],
            views: 0,
        };
        let (graph, preprocess) = (self.graph.clone(), Some(self.preprocess.clone()));
        let teacher = TeacherModel { graph, preprocess };
        Ok(Guide::new(distillation, vec![teacher], None, global.threads(), Isa::detect())?)
    }

    /// Cuts a trained network, calibrates its codec on training pictures, measures it with all test
    /// pictures and `check` coded ones, and writes everything into `folder`.
    pub fn measure(
        &self,
        global: &Global,
        graph: &Graph,
        data: &Data,
        (price, check): (f32, usize),
        folder: &Path,
    ) -> Result<Narrow> {
        let pool = global.pool();
        let device = bottleneck::device(graph)
            .ok_or_else(|| Failure::input("the trained network has no narrow place"))?;
        let halves = Halves::of(graph, &device)?;
        let (Some(head), Some(tail)) = (&halves.head, &halves.tail) else {
            return Err(Failure::input("the trained network has only one half"));
        };
        let mut runner = Runner::new(head, &pool)?;
        let mut codes = |set: &Arc<dyn Dataset>, count| -> Result<Vec<Tensor>> {
            let pictures = Sample::new(set, self.preprocess, count)?;
            let code = |index| Ok(runner.run(&[pictures.read(index)?])?.swap_remove(0));
            (0..pictures.len()).map(code).collect()
        };
        let codec = Codec::calibrate(&codes(&data.train, CALIBRATED)?, LOSSLESS)?;
        let tests = codes(&data.test, check)?;
        let sizes = tests.iter().map(|codes| Ok(codec.encode(codes)?.len()));
        let bytes = sizes.sum::<Result<usize>>()? as f64 / tests.len().max(1) as f64;
        let top1 = accuracy(global, graph, &pool, &data.test, self.preprocess)?;
        files::make_folder(folder)?;
        let paths = ["network.onnx", "head.onnx", "tail.onnx", "cut.codec"].map(|f| folder.join(f));
        for (graph, path) in [graph, head, tail].into_iter().zip(&paths) {
            model::save(graph, path)?;
        }
        files::write(&paths[3], &codec.to_bytes())?;
        let bits_per_code = 8.0 * bytes / codec.elements() as f64;
        Ok(Narrow { price, top1, bytes, bits_per_code, files: paths })
    }
}

/// Top-1 accuracy on all of `set`.
pub fn accuracy(
    global: &Global,
    graph: &Graph,
    pool: &Arc<Pool>,
    set: &Arc<dyn Dataset>,
    preprocess: &Preprocess,
) -> Result<Share> {
    let offset = Card::of(Path::new("network"), graph, None).label_offset()?;
    Ok(classify(global, "test", graph, pool, set, preprocess, offset)?.accuracy())
}

/// `check` test pictures as JPEG files of each quality.
pub fn jpegs(
    global: &Global,
    whole: &Whole,
    data: &Data,
    card: &Card,
    qualities: &[u8],
    check: usize,
) -> Result<Vec<Jpeg>> {
    let mut found = vec![];
    for &quality in qualities {
        let pictures = Pictures::new(data.clone(), whole.preprocess.clone(), quality, card);
        let proof = proof::jpeg(whole.graph, &pictures.test(check)?, &global.pool())?;
        let top1 = proof.top1.ok_or_else(|| {
            Failure::input("the data has other classes than the model: nothing can be compared")
        })?;
        let (bytes, scan_bytes) = (proof.bytes, proof.scan_bytes.unwrap_or(proof.bytes));
        found.push(Jpeg { quality, top1: [top1.whole, top1.sent], bytes, scan_bytes });
    }
    Ok(found)
}
