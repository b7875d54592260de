//! What the models of a cascade say of pictures.

use std::path::Path;
use std::sync::Arc;

use edgecut_collab::certify::{Sample, Score};
use edgecut_runtime::{CompileOptions, Session};
use edgecut_train::data::{Dataset, Loader, LoaderOptions, Preprocess};
use edgecut_train::metrics::argmax;

use super::card::{self, Card};
use super::classify::{check_labels, to_nchw};
use super::loaded::Loaded;
use super::model::Model;
use super::preprocessing::Preprocessing;
use super::shapes::Shapes;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress::Counter;

/// A classifier, all of whose outputs are answers.
pub struct Voice<'a> {
    /// Its file.
    pub path: &'a Path,
    /// How pictures become its input.
    pub preprocessing: Preprocessing,
}

/// Its answers.
pub struct Answers {
    /// For each picture, confidence and class of each output.
    pub exits: Vec<Vec<(f64, u32)>>,
    /// The right class of each picture.
    pub labels: Vec<u32>,
    /// Whether outputs are probabilities.
    pub distribution: bool,
    /// How pictures became the input.
    pub preprocess: Preprocess,
    /// [`digest`](edgecut_collab::digest()) of the model in the file.
    pub digest: [u8; 32],
}

/// Whether edgecut trained the model, of which its data then may have been a part.
pub fn trained_here(path: &Path) -> Result<bool> {
    Ok(Model::load(path)?.preprocess()?.is_some())
}

impl Voice<'_> {
    /// What it says of each picture of `set`, as sure as `score` finds it.
    pub fn answers(
        &self,
        global: &Global,
        name: &str,
        set: &Arc<dyn Dataset>,
        score: Score,
    ) -> Result<Answers> {
        self.listen(global, name, set, score).map_err(|e| e.at(self.path))
    }

    fn listen(
        &self,
        global: &Global,
        name: &str,
        set: &Arc<dyn Dataset>,
        score: Score,
    ) -> Result<Answers> {
        let digest = edgecut_collab::digest(&Model::load(self.path)?.graph);
        let loaded = Loaded::open(self.path, &Shapes::default(), true)?;
        let card = loaded.card()?;
        let preprocess = self.preprocessing.choose(&card)?;
        let (offset, outputs) = (card.label_offset()?, outputs(&card)?);
        let plan = loaded.plan(loaded.batch(&preprocess)?, &CompileOptions::default())?;
        let options = LoaderOptions::evaluation(plan.batch());
        let mut session = Session::new(plan, global.pool());
        let mut loader = Loader::new(set.clone(), &preprocess, &options)?;
        let mut bar = Counter::new(global, name, set.len() as u64);
        let distribution = card.distribution;
        let (exits, labels) = (vec![], vec![]);
        let mut found = Answers { exits, labels, distribution, preprocess, digest };
        while let Some(pictures) = loader.next_batch()? {
            check_labels(pictures, outputs[0].saturating_sub(offset))?;
            to_nchw(pictures, found.preprocess.shape(), session.input_mut(0)?);
            session.run()?;
            let first = found.exits.len();
            found.exits.resize(first + pictures.n, vec![]);
            for (exit, &classes) in outputs.iter().enumerate() {
                let rows = session.output_f32(exit)?.chunks_exact(classes);
                for (answers, row) in found.exits[first..].iter_mut().zip(rows) {
                    // One beyond all classes where the model names what lies before the first.
                    let class = argmax(row).checked_sub(offset).unwrap_or(classes) as u32;
                    answers.push((score.of(row, distribution), class));
                }
            }
            found.labels.extend(&pictures.labels);
            bar.set(found.labels.len() as u64, String::new);
        }
        bar.finish();
        Ok(found)
    }
}

/// Classes of each output, of which all must have as many.
fn outputs(card: &Card) -> Result<Vec<usize>> {
    let classes = card.class_count()?;
    let counts = card.outputs.iter().map(|output| card::class_count(Some(output)));
    let counts = counts.collect::<Result<Vec<usize>>>()?;
    match counts.iter().find(|&&count| count != classes) {
        None => Ok(counts),
        Some(other) => Err(Failure::input(format!(
            "outputs of {classes} and {other} classes: those of a cascade's exits are the same"
        ))),
    }
}

/// Samples of a cascade from `edge`, whose outputs are its exits, to the last output of `cloud`. Of a
/// model that is both, that is none of the exits.
pub fn samples(mut edge: Answers, cloud: &Answers) -> Vec<Sample> {
    if edge.digest == cloud.digest {
        edge.exits.iter_mut().filter(|exits| exits.len() > 1).for_each(|exits| {
            exits.pop();
        });
    }
    let full = cloud.exits.iter().filter_map(|exits| exits.last()).map(|(_, class)| *class);
    let samples = edge.exits.into_iter().zip(full).zip(edge.labels);
    samples.map(|((exits, full), label)| Sample { exits, full, label: Some(label) }).collect()
}
