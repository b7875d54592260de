//! A model file that is run at shapes known beforehand: a graph to be compiled, or a packed model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_runtime::{CompileOptions, Packed, Plan, Precision, compile};
use edgecut_train::data::Preprocess;

use super::card::Card;
use super::classify::batch_for;
use super::model::{self, Model};
use super::shapes::Shapes;
use crate::errors::{Failure, Result};

/// A model file.
pub enum Loaded {
    /// ONNX or TFLite.
    Graph(Box<Model>),
    /// Plans that were compiled before.
    Packed(PackedFile),
}

/// A packed model, and the shapes that it is asked to run at.
pub struct PackedFile {
    path: PathBuf,
    packed: Packed,
    shapes: Shapes,
}

impl Loaded {
    /// Opens the file at `path`. With `float`, 8-bit inputs and outputs become the numbers that
    /// they stand for; those of a packed model stay what it was packed with.
    pub fn open(path: &Path, shapes: &Shapes, float: bool) -> Result<Loaded> {
        model::check(path)?;
        if model::is_packed(path) {
            let (path, shapes) = (path.to_path_buf(), shapes.clone());
            let packed = Packed::open(&path)?;
            return Ok(Loaded::Packed(PackedFile { path, packed, shapes }));
        }
        let load = if float { Model::load_float } else { Model::load_with };
        Ok(Loaded::Graph(Box::new(load(path, shapes)?)))
    }

    /// What verbs need to know of it.
    pub fn card(&self) -> Result<Card> {
        match self {
            Loaded::Graph(model) => Ok(model.card()),
            Loaded::Packed(file) => {
                Ok(Card::of_packed(&file.path, &file.packed, &*file.largest()?))
            }
        }
    }

    /// Size of the file.
    pub fn file_bytes(&self) -> u64 {
        match self {
            Loaded::Graph(model) => model.file_bytes,
            Loaded::Packed(file) => file.packed.file_bytes() as u64,
        }
    }

    /// The plan for `batch` pictures, where the model leaves their number open; a packed model with
    /// one plan has that.
    ///
    /// # Errors
    /// Where the model cannot be compiled, or is packed and another precision or tuning is asked
    /// for.
    pub fn plan(&self, batch: usize, options: &CompileOptions) -> Result<Arc<Plan>> {
        match self {
            Loaded::Graph(model) => {
                let options = CompileOptions { batch, ..options.clone() };
                let plan = compile(&model.graph, &options);
                Ok(Arc::new(plan.map_err(|e| Failure::from(e).at(&model.path))?))
            }
            Loaded::Packed(file) => {
                check_packed(options).map_err(|e| e.at(&file.path))?;
                file.plan(batch)
            }
        }
    }

    /// The batch that evaluation runs at.
    pub fn batch(&self, preprocess: &Preprocess) -> Result<usize> {
        match self {
            Loaded::Graph(model) => Ok(batch_for(&model.graph, preprocess)),
            Loaded::Packed(file) => Ok(file.largest()?.batch()),
        }
    }
}

/// A packed model is as it was packed: it says so to `--precision` and `--tune`.
pub fn check_packed(options: &CompileOptions) -> Result<()> {
    if options.precision != Precision::F32 {
        let problem = "--precision: a packed model has the precision that it was packed with";
        let hint = "convert the model again with --precision bf16";
        return Err(Failure::input(problem).hint(hint));
    }
    if options.tuner.is_some() {
        let problem = "--tune: a packed model has the chains that it was packed with";
        return Err(Failure::input(problem).hint("convert the model again with --tune"));
    }
    Ok(())
}

impl PackedFile {
    /// The plans for the shapes that were asked for.
    fn plans(&self) -> Result<Vec<&Arc<Plan>>> {
        let plans = self.packed.plans();
        let names: Vec<&str> = plans[0].inputs().iter().map(|i| i.name.as_str()).collect();
        let wanted = self.shapes.resolve(&names)?;
        let fits = |plan: &&Arc<Plan>| {
            let has = |(name, shape): &(&str, Vec<usize>)| {
                plan.inputs().iter().any(|i| i.name == *name && i.shape == *shape)
            };
            wanted.iter().all(has)
        };
        let found: Vec<&Arc<Plan>> = plans.iter().filter(fits).collect();
        if found.is_empty() { Err(self.missing("that shape")) } else { Ok(found) }
    }

    fn largest(&self) -> Result<Arc<Plan>> {
        let plans = self.plans()?;
        let largest = plans.into_iter().max_by_key(|plan| plan.batch()).cloned();
        largest.ok_or_else(|| self.missing("any shape"))
    }

    fn plan(&self, batch: usize) -> Result<Arc<Plan>> {
        let plans = self.plans()?;
        if let [only] = plans.as_slice() {
            return Ok(Arc::clone(only));
        }
        let found = plans.into_iter().find(|plan| plan.batch() == batch).cloned();
        found.ok_or_else(|| self.missing(&format!("--batch {batch}")))
    }

    fn missing(&self, what: &str) -> Failure {
        let shapes = |plan: &Arc<Plan>| {
            let inputs = plan.inputs().iter();
            let inputs: Vec<String> =
                inputs.map(|i| crate::inspect::summary::extents(&i.shape)).collect();
            inputs.join(" and ")
        };
        let packed: Vec<String> = self.packed.plans().iter().map(shapes).collect();
        Failure::input(format!("was not packed for {what}"))
            .at(&self.path)
            .hint(format!("it runs at {}; convert the model again for others", packed.join(", ")))
    }
}
