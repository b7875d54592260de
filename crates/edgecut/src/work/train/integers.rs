//! From a float network to a quantised one that is trained as such.

use std::path::Path;

use edgecut_compress::Limits;
use edgecut_graph::{Graph, Op};
use edgecut_kernels::Isa;
use edgecut_train::data::Preprocess;
use edgecut_train::distill::{AnswerLoss, Distillation, Guide, TeacherModel};

use super::{Job, Start};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress;
use crate::settings::{DistillSettings, Method, QuantizeSettings};
use crate::work::calibrate::{Pictures, remarks, to_int8};

/// File of the teachers' answers inside the checkpoint's folder.
pub const ANSWERS: &str = "answers.cache";

/// Option of verbs that train.
#[derive(clap::Args)]
pub struct Integers {
    /// First quantise the model to begin with, its weights to 8 or 4 bits and its activations to 8,
    /// and train it as it is then
    #[arg(long, value_name = "BITS")]
    bits: Option<u8>,
}

/// Whether a graph has integers in it.
pub fn is_quantised(graph: &Graph) -> bool {
    graph.nodes.iter().any(|n| matches!(n.op, Op::Quantize { .. } | Op::Dequantize { .. }))
}

impl Integers {
    /// Quantises what training begins with, where that is asked for; the float network.
    ///
    /// BatchNorm becomes part of the layers before it, with the statistics that the float network
    /// has: it is trained already, and a quantised layer has no other form at run time. One recipe
    /// and no search, so that the same command makes the same graph when it goes on.
    ///
    /// # Errors
    /// Other widths, a new network or a new head, a model that is quantised.
    pub fn begin(&self, global: &Global, job: &Job, start: &mut Start) -> Result<Option<Graph>> {
        let Some(bits) = self.bits else { return Ok(None) };
        let refused = |problem: &str, hint: &str| {
            Err(Failure::input(format!("--bits {bits}: {problem}")).hint(hint))
        };
        if job.model.start.is_none() {
            return refused("a new network has nothing to keep", "give a trained model");
        }
        if job.model.head.is_some() {
            return refused("with --head", "train the head in float first");
        }
        if is_quantised(&start.graph) {
            return refused("the model is quantised", "without --bits it is trained as it is");
        }
        let settings = QuantizeSettings {
            method: Method::Mse,
            bits,
            saturate: bits == 4,
            ..QuantizeSettings::default()
        };
        settings.validate().map_err(|w| Failure::input(format!("--{} {}", w.field, w.problem)))?;
        progress::say(global, "quantising");
        let pictures =
            Pictures { set: &job.data.train, preprocess: &start.preprocess, settings: &settings };
        let limits = Limits::default();
        let found = to_int8(global, &start.graph, &pictures, limits, &global.pool())?;
        if found.stopped {
            return Err(Failure::not_met("interrupted while quantising"));
        }
        for line in &remarks(&found) {
            progress::detail(global, line);
        }
        Ok(Some(std::mem::replace(&mut start.graph, found.quantized.graph)))
    }
}

/// The network as it was before as the teacher of what has become of it, `alpha` being the share of
/// the loss that is its answers'; these are kept in `folder`.
pub fn own_teacher(
    global: &Global,
    (before, preprocess): (Graph, &Preprocess),
    alpha: f32,
    folder: &Path,
) -> Result<Guide> {
    let DistillSettings { temperature, views, .. } = DistillSettings::default();
    let distillation = Distillation {
        labels: 1.0 - alpha,
        answers: alpha,
        loss: AnswerLoss::Soft { temperature },
        features: vec![],
        rates: vec![],
        views,
    };
    let teacher = TeacherModel { graph: before, preprocess: Some(preprocess.clone()) };
    let cache = Some(folder.join(ANSWERS));
    Ok(Guide::new(distillation, vec![teacher], cache, global.threads(), Isa::detect())?)
}
