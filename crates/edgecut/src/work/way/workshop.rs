//! Makes the networks that are to be tried, and measures them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use edgecut_compress::Limits;
use edgecut_compress::prune::{Aim, Channels};
use edgecut_graph::cost::cost;
use edgecut_graph::{Graph, Node, Op, passes};
use edgecut_kernels::Pool;
use edgecut_train::data::{Data, Preprocess};

use super::candidate::{Action, Candidate};
use super::commands::{Named, commands};
use super::costs::{Bounds, Costs};
use super::device::Device;
use super::estimate::Estimate;
use super::policy::Next;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files;
use crate::interrupt;
use crate::progress::detail;
use crate::recipe::Recipe;
use crate::settings::{RecoverSettings, TrainSettings};
use crate::work::calibrate::{self, Sample, recipe as quantisation, remarks, to_int8};
use crate::work::classify::classify;
use crate::work::model::{self, Model};
use crate::work::prune::{Pictures, Places, Seen, best, recover, watched};
use crate::work::time::Subject;
use crate::work::train::CHECKPOINT_EVERY;

/// Names of the results in the folder of a network.
pub const FLOAT: &str = "float.onnx";
pub const INT8: &str = "int8.onnx";
pub const PRUNED: &str = "pruned.onnx";

/// Steps that a bisection over channels takes about: for the bar only.
const STEPS: u64 = 14;

/// The share of all steps of a short training that averages of the weights look back at most.
const MEMORY_OF_AVERAGE: f64 = 0.1;

/// What does not change from network to network.
pub struct Workshop<'a> {
    pub global: &'a Global,
    pub recipe: &'a Recipe,
    /// Its test part decides.
    pub data: &'a Data,
    pub preprocess: &'a Preprocess,
    pub pool: &'a Arc<Pool>,
    /// Where the folders of the networks lie.
    pub folder: PathBuf,
    /// The file of the float network that it begins with, the teacher of all others.
    pub first: &'a Path,
    pub device: &'a Device,
    /// The data as the command line names it.
    pub data_name: &'a str,
}

/// The float network that it begins with.
pub struct First {
    pub graph: Graph,
    pub subject: Subject,
    pub costs: Costs,
}

impl Workshop<'_> {
    /// The folder of a network.
    pub fn place(&self, id: usize) -> PathBuf {
        self.folder.join(format!("{id:02}"))
    }

    /// Makes and measures the network `id`.
    pub fn make(
        &self,
        (id, next): (usize, &Next),
        parent: Option<&Candidate>,
        bounds: &Bounds,
        first: &mut First,
    ) -> Result<Candidate> {
        let began = Instant::now();
        let place = self.place(id);
        files::make_folder(&place)?;
        let (float, int8) = self.networks(&place, next.action, parent, bounds, first)?;
        let paths = [place.join(FLOAT), place.join(INT8)];
        model::save(&float, &paths[0])?;
        model::save(&int8, &paths[1])?;
        // From here on the files are measured, not what was in memory when they were written.
        let [float, int8] = [Model::load(&paths[0])?.graph, Model::load(&paths[1])?.graph];
        let ((float_sha, _), (sha, size)) = (files::digest(&paths[0])?, files::digest(&paths[1])?);
        let first_ms = Some(first.costs.latency_ms);
        let (costs, predicted_ms) =
            self.costs((&paths[1], &int8, size), &mut first.subject, first_ms)?;
        let count = cost(&float, 1)?;
        let unchanged = parent.filter(|p| p.sha256[0] == float_sha).map(|p| p.float_accuracy);
        let float_accuracy = match unchanged {
            Some(accuracy) => accuracy,
            None => self.accuracy("test float", &float)?,
        };
        Ok(Candidate {
            id,
            parent: parent.map(|p| p.id),
            action: next.action,
            why: next.why.clone(),
            float_accuracy,
            accuracy: self.accuracy("test int8", &int8)?,
            costs,
            predicted_ms,
            macs: count.macs,
            params: count.parameters,
            seconds: began.elapsed().as_secs_f64(),
            sha256: [float_sha, sha],
            commands: self.commands(next.action, (&place, parent), count.macs),
        })
    }

    fn commands(
        &self,
        action: Action,
        (place, parent): (&Path, Option<&Candidate>),
        macs: u64,
    ) -> Vec<String> {
        let parent = parent.map(|parent| self.place(parent.id));
        let named = Named {
            recipe: self.recipe,
            data: self.data_name,
            first: self.first,
            place,
            parent: parent.as_deref(),
        };
        let training = match action {
            Action::Start => self.recipe.train.clone(),
            Action::Prune { epochs, .. } | Action::Polish { epochs } => self.fine_tuning(epochs),
            Action::Integers { epochs } => TrainSettings { lr: None, ..self.fine_tuning(epochs) },
        };
        commands(&named, action, macs, &training)
    }

    /// What the network at `path` of `size` bytes costs, and its predicted latency; `first_ms` is
    /// that of `first`.
    pub fn costs(
        &self,
        (path, graph, size): (&Path, &Graph, u64),
        first: &mut Subject,
        first_ms: Option<f64>,
    ) -> Result<(Costs, Option<f64>)> {
        let mut own = Subject::new(graph, 1, self.pool)?;
        let predicted = self.device.predict(own.plan())?;
        let measured = (path, &mut own);
        let costs = Costs {
            latency_ms: self.device.latency_ms(measured, first, first_ms, self.global)?,
            memory: own.arena_bytes() + own.weight_bytes(),
            size,
            millijoules: predicted.map(|p| p.millijoules),
        };
        Ok((costs, predicted.map(|p| p.ms)))
    }

    /// Top-1 on the pictures that decide, percent.
    fn accuracy(&self, what: &str, graph: &Graph) -> Result<f64> {
        let set = &self.data.test;
        let answers = classify(self.global, what, graph, self.pool, set, self.preprocess, 0)?;
        Ok(answers.accuracy().percent)
    }

    /// The float network and the quantised one that `action` makes.
    fn networks(
        &self,
        place: &Path,
        action: Action,
        parent: Option<&Candidate>,
        bounds: &Bounds,
        first: &First,
    ) -> Result<(Graph, Graph)> {
        let of_parent = |name: &str| -> Result<Graph> {
            let parent = parent.ok_or_else(|| Failure::input("a step needs a network"))?;
            Ok(Model::load(&self.place(parent.id).join(name))?.graph)
        };
        let float = match (action, parent) {
            (Action::Prune { aim, epochs }, Some(parent)) => {
                let path = place.join(PRUNED);
                let pruned = match path.exists() {
                    true => Model::load(&path)?.graph,
                    false => {
                        let pruned = self.prune(of_parent(FLOAT)?, parent, bounds, aim)?;
                        model::save(&pruned, &path)?;
                        pruned
                    }
                };
                self.learn(place, pruned, self.fine_tuning(epochs), first)?
            }
            (Action::Polish { epochs }, _) => {
                self.learn(place, of_parent(FLOAT)?, self.fine_tuning(epochs), first)?
            }
            (Action::Integers { epochs }, _) => {
                let settings = TrainSettings { lr: None, ..self.fine_tuning(epochs) };
                let int8 = self.learn(place, of_parent(INT8)?, settings, first)?;
                return Ok((of_parent(FLOAT)?, int8));
            }
            _ => first.graph.clone(),
        };
        let int8 = self.quantise(&float)?;
        Ok((float, int8))
    }

    /// `float` without the channels that keep its largest cost above `aim` times the bound.
    fn prune(&self, float: Graph, parent: &Candidate, bounds: &Bounds, aim: f64) -> Result<Graph> {
        let channels = Channels::of(&float)?;
        let settings = &self.recipe.prune;
        let sample = Sample::new(&self.data.train, self.preprocess, settings.images)?;
        let config = quantisation(&self.recipe.quantize).config;
        let estimate = Estimate::new(self.device, parent, config, &sample, self.pool)?;
        let seen = Seen::of(self.global, settings, Some((&self.data.train, self.preprocess)))?;
        let mut measure =
            |graph: &Graph| -> Result<f64> { Ok(bounds.excess(&estimate.costs(graph)?)) };
        let (kept, aim) = (settings.bounds(), Aim::exactly(aim));
        let cut = best(self.global, &channels, settings, &seen, self.pool, &mut |order| {
            watched(self.global, "prune", STEPS, |control| {
                channels.cut_to(order, &kept, aim, control, &mut measure)
            })
        })?;
        Ok(cut.graph)
    }

    /// The settings of a short training.
    fn fine_tuning(&self, epochs: usize) -> TrainSettings {
        let (usual, budget) = (&self.recipe.train, self.recipe.budget.clone().unwrap_or_default());
        let steps = epochs * self.data.train.len().div_ceil(usual.batch.max(1));
        let horizon = (MEMORY_OF_AVERAGE * steps as f64).max(1.0);
        let decay = f64::from(usual.ema_decay).min(1.0 - 1.0 / horizon);
        TrainSettings {
            epochs,
            lr: budget.lr.or(Some(0.25 * usual.lr.unwrap_or(0.1))),
            warmup_epochs: usual.warmup_epochs.min(0.5),
            // Three digits, so that a command can say it.
            ema_decay: ((decay * 1e3).floor() / 1e3).max(0.0) as f32,
            patience: None,
            minutes: None,
            ..usual.clone()
        }
    }

    /// Trains `graph`, the first network being its teacher; goes on where an interruption ended it.
    fn learn(
        &self,
        place: &Path,
        mut graph: Graph,
        settings: TrainSettings,
        first: &First,
    ) -> Result<Graph> {
        let quantised = |n: &Node| matches!(n.op, Op::Quantize { .. } | Op::Dequantize { .. });
        if !graph.nodes.iter().any(quantised) {
            passes::simplify(&mut graph)?;
        }
        let mut teacher = first.graph.clone();
        teacher.name = self.first.display().to_string();
        let pictures = Pictures { data: self.data, preprocess: self.preprocess };
        let places = Places {
            checkpoint: place.to_path_buf(),
            shared: &self.folder,
            every: CHECKPOINT_EVERY,
            restart: false,
        };
        let usual = RecoverSettings::default();
        let networks = (graph, &teacher);
        Ok(recover(self.global, (&usual, &settings), networks, &pictures, &places)?.graph)
    }

    fn quantise(&self, float: &Graph) -> Result<Graph> {
        let settings = &self.recipe.quantize;
        let set = &self.data.train;
        let pictures = calibrate::Pictures { set, preprocess: self.preprocess, settings };
        let found = to_int8(self.global, float, &pictures, Limits::default(), self.pool)?;
        if found.stopped && interrupt::asked() {
            return Err(Failure::not_met("interrupted while quantising")
                .hint("the same command goes on where it was"));
        }
        for line in &remarks(&found) {
            detail(self.global, line);
        }
        Ok(found.quantized.graph)
    }
}
