//! Training on what pruning has left of a network.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use edgecut_train::TrainOutcome;
use edgecut_train::data::{Data, Preprocess};

use crate::cli::Global;
use crate::errors::Result;
use crate::settings::{ModelSettings, RecoverSettings, TrainSettings};
use crate::stats::Share;
use crate::work::classify::classify;
use crate::work::train::{Job, Start, own_teacher, train};

/// What a network learns from and is measured on.
pub struct Pictures<'a> {
    /// The pictures.
    pub data: &'a Data,
    /// How they become the network's input.
    pub preprocess: &'a Preprocess,
}

/// Where trainings keep what survives a kill.
pub struct Places<'a> {
    /// Folder of one training's checkpoint.
    pub checkpoint: PathBuf,
    /// Folder of what trainings share: the teacher's answers, which are the same for all of them.
    pub shared: &'a Path,
    /// Time between two checkpoints.
    pub every: Duration,
    /// Whether a checkpoint that is there is ignored.
    pub restart: bool,
}

/// Trains `graph` on, by default with `teacher`, the network as it was before. Ctrl-C ends it with a
/// checkpoint and a failure that says how to go on.
pub fn recover(
    global: &Global,
    (settings, training): (&RecoverSettings, &TrainSettings),
    (graph, teacher): (Graph, &Graph),
    pictures: &Pictures,
    places: &Places,
) -> Result<TrainOutcome> {
    let job = Job {
        data: pictures.data,
        model: &ModelSettings::default(),
        preprocessing: None,
        settings: training,
        checkpoint: places.checkpoint.clone(),
        every: places.every,
        restart: places.restart,
    };
    let preprocess = pictures.preprocess.clone();
    let mut guide = match settings.distill {
        true => {
            let teacher = (teacher.clone(), &preprocess);
            Some(own_teacher(global, teacher, settings.alpha, places.shared)?)
        }
        false => None,
    };
    let start = Start { graph, preprocess, assumed: false, head: vec![] };
    train(global, &job, &start, guide.as_mut())
}

/// Accuracy of `graph` on the test pictures.
pub fn accuracy(
    global: &Global,
    graph: &Graph,
    pictures: &Pictures,
    pool: &Arc<Pool>,
) -> Result<Share> {
    let test = &pictures.data.test;
    Ok(classify(global, "test", graph, pool, test, pictures.preprocess, 0)?.accuracy())
}
