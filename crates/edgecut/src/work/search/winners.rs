//! Trains the best networks of the front to the end, quantises and measures them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_compress::Limits;
use edgecut_graph::Graph;
use edgecut_graph::cost::cost;
use edgecut_kernels::Pool;
use edgecut_search::pareto::{Bounds, subset};
use edgecut_search::supernet::Judge;
use edgecut_train::data::{Dataset, Preprocess};

use super::device::{DeviceCosts, Kind};
use super::found::{Found, Winner};
use super::{Stage, Task, at_side, explain};
use crate::errors::{Failure, Result};
use crate::files;
use crate::interrupt;
use crate::progress::say;
use crate::settings::{Deployed, Method, ModelSettings, QuantizeSettings, TrainSettings};
use crate::stats::{Share, Times};
use crate::work::calibrate::{Pictures, to_int8};
use crate::work::classify::classify;
use crate::work::model::{self, Model};
use crate::work::time::Subject;
use crate::work::train::{CHECKPOINT_EVERY, Job, Start, own_teacher, train};

/// Share of the loss that is the teacher's.
const ALPHA: f32 = 0.5;

/// Folder of the winners in that of the search, and files of each.
const WINNERS: &str = "winners";
const FLOAT: &str = "float.onnx";
const INT8: &str = "int8.onnx";

/// Trains the winners, most accurate first: it teaches the others. Then all are measured, and look at
/// the test pictures.
pub fn finish(stage: &Stage, judge: &Judge, costs: &DeviceCosts, found: &mut Found) -> Result<()> {
    let chosen = choose(found, stage.task.settings.winners);
    found.winners.retain(|winner| chosen.contains(&winner.trial));
    for &trial in &chosen {
        let teacher = chosen.first().copied().filter(|&first| first != trial);
        let same = |w: &Winner| w.trial == trial && w.teacher == teacher;
        if found.winners.iter().any(same) {
            continue;
        }
        found.winners.retain(|winner| winner.trial != trial);
        let finisher = Finisher { stage, judge, costs, found, trial, teacher };
        let winner = finisher.finish()?;
        found.winners.push(winner);
        found.save(&stage.task.folder)?;
    }
    found.winners.sort_by_key(|winner| chosen.iter().position(|trial| *trial == winner.trial));
    measure(stage, costs, found)?;
    test(stage, found)?;
    found.done = true;
    Ok(())
}

/// The most accurate trial of the front, and those that together with it dominate most; most accurate
/// first.
fn choose(found: &Found, count: usize) -> Vec<usize> {
    let nets: Vec<_> = found.front.iter().filter_map(|&trial| found.net(trial)).collect();
    let points: Vec<[f64; 2]> = nets.iter().map(|net| [-net.accuracy, net.ms.ln()]).collect();
    let Some(bounds) = Bounds::of(&points) else { return vec![] };
    let points: Vec<Vec<f64>> = points.iter().map(|point| bounds.normalise(point)).collect();
    let accuracy = |&at: &usize| nets[at].accuracy;
    let best = (0..nets.len()).max_by(|a, b| accuracy(a).total_cmp(&accuracy(b)));
    // A little beyond the worst, so that the ends of the front count as well.
    let mut chosen = subset(&points, &[1.1, 1.1], best.into_iter().collect(), count);
    chosen.sort_by(|&a, &b| nets[b].accuracy.total_cmp(&nets[a].accuracy));
    chosen.into_iter().map(|at| nets[at].trial).collect()
}

/// Makes one winner.
struct Finisher<'a> {
    stage: &'a Stage<'a>,
    judge: &'a Judge<'a>,
    costs: &'a DeviceCosts,
    found: &'a Found,
    trial: usize,
    teacher: Option<usize>,
}

impl Finisher<'_> {
    fn finish(&self) -> Result<Winner> {
        let (task, space) = (self.stage.task, &self.stage.space);
        let unknown = || Failure::input(format!("network {} was not judged", self.trial));
        let judged = self.found.net(self.trial).ok_or_else(unknown)?;
        let place = folder(&task.folder, self.trial);
        files::make_folder(&place)?;
        let net = space.net(&judged.genome);
        let preprocess = at_side(&self.stage.preprocess, net.input[1]);
        let fresh = space.network(&judged.genome, task.training.seed)?;
        let estimate = self.costs.estimate(&fresh)?;
        let parts = explain::parts(&net, self.costs.steps(&fresh)?);
        let mut graph = self.judge.inherit(fresh.graph)?;
        graph.name = format!("{} {}", self.found.space.name, self.trial);
        model::describe(&mut graph, &preprocess)?;
        say(task.global, &format!("training network {} to the end", self.trial));
        let (float, mut seconds) = self.learn(graph, &preprocess, (&place, FLOAT))?;
        let mut deployed = FLOAT;
        if task.settings.deploy == Deployed::Int8 {
            seconds += self.integers((&float, fresh.four_bit), &preprocess, &place)?;
            deployed = INT8;
        }
        let accuracy = |name: &str, what: &str| -> Result<f64> {
            let graph = Model::load(&place.join(name))?.graph;
            let set = &self.stage.pictures.test;
            Ok(share(task, &graph, what, set, &preprocess)?.percent)
        };
        let held_out =
            [judged.accuracy, accuracy(FLOAT, "float")?, accuracy(deployed, "deployed")?];
        let counts = cost(&float, 1)?;
        let (sha256, bytes) = files::digest(&place.join(deployed))?;
        let relative = |name: &str| format!("{WINNERS}/{}/{name}", self.trial);
        let pool = Arc::new(Pool::new(task.settings.device_threads));
        let subject = Subject::new(&Model::load(&place.join(deployed))?.graph, 1, &pool)?;
        Ok(Winner {
            trial: self.trial,
            teacher: self.teacher,
            files: [deployed, FLOAT].map(relative),
            sha256,
            bytes,
            held_out,
            test: None,
            predicted: [estimate.ms, estimate.low_ms, estimate.high_ms],
            latency: None,
            shared: None,
            memory: subject.arena_bytes() + subject.weight_bytes(),
            millijoules: estimate.millijoules,
            macs: counts.macs,
            parameters: counts.parameters,
            over: vec![],
            seconds,
            parts,
            lineage: explain::lineage(self.found, space.space(), self.trial),
        })
    }

    /// Trains `graph` in float; returns what is in the file then, and the seconds it took.
    fn learn(
        &self,
        graph: Graph,
        preprocess: &Preprocess,
        (place, name): (&Path, &str),
    ) -> Result<(Graph, f64)> {
        let task = self.stage.task;
        let work = place.join("float");
        let teacher = match self.teacher {
            None => None,
            Some(trial) => {
                let path = folder(&task.folder, trial).join(FLOAT);
                let teacher = Model::load(&path)?;
                let own = teacher.preprocess()?.unwrap_or_else(|| preprocess.clone());
                Some((teacher.graph, own))
            }
        };
        let seconds =
            self.train((graph, teacher), preprocess, task.training, (&work, &place.join(name)))?;
        Ok((Model::load(&place.join(name))?.graph, seconds))
    }

    /// Quantises `float`, the weights of the nodes named `int4` to 4 bits, and trains it as integers,
    /// itself being the teacher; returns the seconds it took.
    fn integers(
        &self,
        (float, int4): (&Graph, Vec<String>),
        preprocess: &Preprocess,
        place: &Path,
    ) -> Result<f64> {
        let task = self.stage.task;
        let settings =
            QuantizeSettings { method: Method::Mse, int4, ..QuantizeSettings::default() };
        let pictures =
            Pictures { set: &self.stage.pictures.train, preprocess, settings: &settings };
        let found = to_int8(task.global, float, &pictures, Limits::default(), task.pool)?;
        if found.stopped && interrupt::asked() {
            return Err(super::trials::stopped("while quantising"));
        }
        let (path, graph) = (place.join(INT8), found.quantized.graph);
        match task.settings.int8_epochs {
            0 => {
                model::save(&graph, &path)?;
                Ok(0.0)
            }
            epochs => {
                let training = TrainSettings {
                    epochs,
                    lr: None,
                    warmup_epochs: task.training.warmup_epochs.min(0.2),
                    ..task.training.clone()
                };
                let teacher = Some((float.clone(), preprocess.clone()));
                let work = place.join("int8");
                self.train((graph, teacher), preprocess, &training, (&work, &path))
            }
        }
    }

    /// Trains `graph` to the file `path`, or goes on; returns the seconds it took.
    fn train(
        &self,
        (graph, teacher): (Graph, Option<(Graph, Preprocess)>),
        preprocess: &Preprocess,
        settings: &TrainSettings,
        (work, path): (&PathBuf, &Path),
    ) -> Result<f64> {
        let task = self.stage.task;
        files::make_folder(work)?;
        let job = Job {
            data: &self.stage.pictures,
            model: &ModelSettings::default(),
            preprocessing: None,
            settings,
            checkpoint: work.clone(),
            every: CHECKPOINT_EVERY,
            restart: false,
        };
        let teach = |(graph, own): (Graph, Preprocess)| {
            own_teacher(task.global, (graph, &own), ALPHA, work)
        };
        let mut guide = teacher.map(teach).transpose()?;
        let start = Start { graph, preprocess: preprocess.clone(), assumed: false, head: vec![] };
        let outcome = train(task.global, &job, &start, guide.as_mut())?;
        model::save(&outcome.graph, path)?;
        Ok(outcome.seconds)
    }
}

/// Times all winners in turn, so that a disturbance hits all of them alike.
fn measure(stage: &Stage, costs: &DeviceCosts, found: &mut Found) -> Result<()> {
    let task = stage.task;
    let models = found.winners.iter().map(|winner| task.folder.join(&winner.files[0]));
    let times = stage.place.times(&models.collect::<Vec<_>>(), task.global)?;
    let share = |(winner, times): (&Winner, &Times)| {
        let Some(net) = found.net(winner.trial) else { return Ok(None) };
        costs.shared(&stage.space.network(&net.genome, 0)?, Some(times.min_ms))
    };
    let shared = found.winners.iter().zip(&times).map(share).collect::<Result<Vec<_>>>()?;
    let ranges = found.device.as_ref().map_or(&[][..], |facts| &facts.ranges);
    for ((winner, times), shared) in found.winners.iter_mut().zip(times).zip(shared) {
        winner.shared = shared;
        let cost = |kind: Kind| match kind {
            Kind::Latency => times.min_ms,
            Kind::Together => winner.shared.as_ref().map_or(times.min_ms, |shared| shared.ms),
            Kind::Memory => winner.memory as f64,
            Kind::Size => winner.bytes as f64,
            Kind::Energy => winner.millijoules,
        };
        let over = ranges.iter().filter(|r| r.limit.is_some_and(|limit| cost(r.kind) > limit));
        winner.over = over.map(|range| range.kind).collect();
        winner.latency = Some(times);
    }
    Ok(())
}

/// Looks at the test pictures, with those winners that have not seen them.
fn test(stage: &Stage, found: &mut Found) -> Result<()> {
    let task = stage.task;
    for winner in found.winners.iter_mut().filter(|winner| winner.test.is_none()) {
        let share = |name: &String| -> Result<Share> {
            let model = Model::load(&task.folder.join(name))?;
            let own = model.preprocess()?.unwrap_or_else(|| stage.preprocess.clone());
            share(task, &model.graph, "test", &task.data.test, &own)
        };
        let [deployed, float] = &winner.files;
        winner.test = Some([share(float)?, share(deployed)?]);
    }
    Ok(())
}

/// Top-1 of `graph` on `set`.
fn share(
    task: &Task,
    graph: &Graph,
    what: &str,
    set: &Arc<dyn Dataset>,
    preprocess: &Preprocess,
) -> Result<Share> {
    Ok(classify(task.global, what, graph, task.pool, set, preprocess, 0)?.accuracy())
}

/// Removes the winners of an earlier search.
pub fn clear(search: &Path) -> Result<()> {
    let folder = search.join(WINNERS);
    match folder.exists() {
        true => std::fs::remove_dir_all(&folder).map_err(|e| Failure::io(&folder, &e)),
        false => Ok(()),
    }
}

fn folder(search: &Path, trial: usize) -> PathBuf {
    search.join(WINNERS).join(trial.to_string())
}
