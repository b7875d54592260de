//! A model for callers whose inputs vary in shape.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use edgecut_graph::{DType, Dim, Graph, Shape, Tensor, ValueId, onnx};
use edgecut_kernels::{Isa, Pool};

use crate::compile::{CompileOptions, compile_fixed, specialise};
use crate::model_plans::{Entry, Plans, lock};
use crate::share::SharedWeights;
use crate::{Plan, Precision, Result, RuntimeError, Session, Tuner};

/// Plans that a [`Model`] keeps. A seventeenth set of shapes pushes out the one that was used
/// least recently; sessions that run it keep it alive as long as they need it.
pub const MAX_PLANS: usize = 16;

/// An input of a model, before its symbols have numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name
    pub name: String,
    /// Element type
    pub dtype: DType,
    /// Extents; a symbol may be any, the same one the same everywhere.
    pub shape: Shape,
}

/// Makes the graph for the shapes of all inputs, in order.
type MakeGraph = Box<dyn Fn(&[Vec<usize>]) -> Result<Graph> + Send + Sync>;

/// A model, its plans by input shapes, and the threads that its sessions share.
///
/// A plan is compiled when its shapes are first asked for, and kept, [`MAX_PLANS`] of them. Plans
/// share constants and packed weights wherever they are equal, so that each costs little more than
/// its list of steps. Threads may ask at the same time: the same shapes are compiled once, others
/// side by side.
///
/// ```
/// use std::sync::Arc;
/// use edgecut_graph::{Builder, Tensor, Window};
/// use edgecut_kernels::Pool;
/// use edgecut_runtime::Model;
///
/// let mut b = Builder::new("tiny", 1);
/// let x = b.input("image", ["n".into(), 3.into(), 8.into(), 8.into()]);
/// let y = b.conv(x, "stem", 4, Window::same(3, 2), 1, false)?;
/// let model = Model::new(b.finish(&[y])?, Arc::new(Pool::new(1)));
/// for n in [1, 5] {
///     let outputs = model.infer(&[Tensor::zeros([n, 3, 8, 8])?])?;
///     assert_eq!(outputs[0].shape(), [n, 4, 4, 4]);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Model {
    inputs: Vec<Input>,
    make: MakeGraph,
    options: CompileOptions,
    pool: Arc<Pool>,
    plans: Plans,
    weights: Mutex<SharedWeights>,
}

impl Model {
    /// A model on the best instruction set of this machine. Symbols of the graph's inputs take
    /// their extents from the shapes that are asked for.
    pub fn new(graph: Graph, pool: Arc<Pool>) -> Model {
        Model::from_fn(inputs_of(&graph), move |_| Ok(graph.clone()), pool)
    }

    /// A model whose height, width or any other extent may be open: `template` gives a graph for
    /// each set of shapes.
    pub fn from_template(template: onnx::Template, pool: Arc<Pool>) -> Model {
        let inputs = template.inputs().iter().map(|declared| Input {
            name: declared.name.clone(),
            dtype: declared.dtype,
            shape: declared.shape.clone(),
        });
        let inputs: Vec<Input> = inputs.collect();
        let names: Vec<String> = inputs.iter().map(|i| i.name.clone()).collect();
        let make = move |shapes: &[Vec<usize>]| {
            let named: Vec<(&str, Vec<usize>)> =
                names.iter().map(String::as_str).zip(shapes.iter().cloned()).collect();
            Ok(template.graph(&named)?)
        };
        Model::from_fn(inputs, make, pool)
    }

    /// A model of `inputs` whose graph `make` gives for their shapes, in the same order: for
    /// callers that rewrite graphs before they run. Symbols that the graph's inputs still have take
    /// their extents from the shapes.
    pub fn from_fn(
        inputs: Vec<Input>,
        make: impl Fn(&[Vec<usize>]) -> Result<Graph> + Send + Sync + 'static,
        pool: Arc<Pool>,
    ) -> Model {
        Model {
            inputs,
            make: Box::new(make),
            options: CompileOptions::default(),
            pool,
            plans: Plans::new(MAX_PLANS),
            weights: Mutex::default(),
        }
    }

    /// The same model, its plans compiled in another way; the batch follows from the shapes.
    pub fn with_options(self, options: CompileOptions) -> Model {
        Model { options, plans: Plans::new(MAX_PLANS), ..self }
    }

    /// The same model on a given instruction set.
    pub fn with_isa(self, isa: Isa) -> Model {
        let options = CompileOptions { isa, ..self.options.clone() };
        self.with_options(options)
    }

    /// The same model in another precision.
    pub fn with_precision(self, precision: Precision) -> Model {
        let options = CompileOptions { precision, ..self.options.clone() };
        self.with_options(options)
    }

    /// The same model with plans that are measured while they are compiled.
    pub fn with_tuner(self, tuner: Arc<Tuner>) -> Model {
        let options = CompileOptions { tuner: Some(tuner), ..self.options.clone() };
        self.with_options(options)
    }

    /// What the model declares of its inputs, in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The threads.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The graph for `shapes`, one for each input in order.
    ///
    /// # Errors
    /// Where the shapes do not fit the inputs: [`RuntimeError::Shape`] names the input and what it
    /// is declared as. And where an operator does not fit the shapes.
    pub fn graph(&self, shapes: &[Vec<usize>]) -> Result<Graph> {
        check_shapes(&self.inputs, shapes)?;
        specialise((self.make)(shapes)?, shapes)
    }

    /// The plan for `shapes`, one for each input in order.
    ///
    /// # Errors
    /// As [`Model::graph`] and [`compile`](crate::compile()).
    pub fn plan_for(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>> {
        Ok(self.planned(shapes)?.1)
    }

    /// A new session for `shapes`, one for each input in order.
    ///
    /// # Errors
    /// As [`Model::plan_for`].
    pub fn session_for(&self, shapes: &[Vec<usize>]) -> Result<Session> {
        Ok(Session::new(self.plan_for(shapes)?, self.pool.clone()))
    }

    /// The outputs for `inputs` of any shapes that fit. Memory is kept from one call to the next.
    ///
    /// # Errors
    /// As [`Model::plan_for`] and [`Session::infer`].
    pub fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        let (entry, plan) = self.planned(&shapes)?;
        let idle = entry.take_idle();
        let mut session = idle.unwrap_or_else(|| Session::new(plan, self.pool.clone()));
        let outputs = session.infer(inputs)?;
        entry.give_back(session);
        Ok(outputs)
    }

    /// The plan for `batch` images per run; other extents must be fixed.
    ///
    /// # Errors
    /// As [`Model::plan_for`], and as [`Model::batch_shapes`].
    pub fn plan(&self, batch: usize) -> Result<Arc<Plan>> {
        self.plan_for(&self.batch_shapes(batch)?)
    }

    /// A new session for `batch` images per run; other extents must be fixed.
    ///
    /// # Errors
    /// As [`Model::plan`].
    pub fn session(&self, batch: usize) -> Result<Session> {
        Ok(Session::new(self.plan(batch)?, self.pool.clone()))
    }

    /// The batch that the model fixes, or `None` where it may be any.
    pub fn fixed_batch(&self) -> Option<usize> {
        self.inputs.first()?.shape.dims().first()?.fixed()
    }

    /// Number of plans that are kept at the moment, at most [`MAX_PLANS`].
    pub fn plan_count(&self) -> usize {
        self.plans.len()
    }

    /// The shapes of all inputs for `batch` images per run.
    ///
    /// # Errors
    /// Where an input's first extent is fixed to another number ([`RuntimeError::Batch`]), or
    /// another extent is open ([`RuntimeError::OpenShape`]).
    pub fn batch_shapes(&self, batch: usize) -> Result<Vec<Vec<usize>>> {
        self.inputs.iter().map(|input| batch_shape(input, batch)).collect()
    }

    fn planned(&self, shapes: &[Vec<usize>]) -> Result<(Arc<Entry>, Arc<Plan>)> {
        check_shapes(&self.inputs, shapes)?;
        self.plans.planned(shapes, || {
            let mut plan = compile_fixed(self.graph(shapes)?, &self.options)?;
            plan.share_weights(&mut lock(&self.weights));
            Ok(plan)
        })
    }
}

/// What a graph declares of its inputs.
pub(crate) fn inputs_of(graph: &Graph) -> Vec<Input> {
    let input = |&id: &ValueId| {
        let value = graph.value(id);
        Input { name: value.name.clone(), dtype: value.dtype, shape: value.shape.clone() }
    };
    graph.inputs.iter().map(input).collect()
}

/// Whether `shapes` fit the inputs, one for each in order.
pub(crate) fn check_shapes(inputs: &[Input], shapes: &[Vec<usize>]) -> Result<()> {
    if shapes.len() != inputs.len() {
        let (found, expected) = (shapes.len(), inputs.len());
        return Err(RuntimeError::InputCount { found, expected });
    }
    let mut symbols: BTreeMap<&str, usize> = BTreeMap::new();
    for (input, given) in inputs.iter().zip(shapes) {
        if !input.shape.admits(given, &mut symbols) {
            return Err(RuntimeError::Shape {
                name: input.name.clone(),
                declared: input.shape.clone(),
                known: known(&input.shape, &symbols),
                given: given.clone(),
            });
        }
    }
    Ok(())
}

/// The symbols of `shape` that have numbers, as ` (h = 3, w = 4)`; nothing where there are none.
fn known(shape: &Shape, symbols: &BTreeMap<&str, usize>) -> String {
    let number = |dim: &Dim| match dim {
        Dim::Symbol(name) => symbols.get(&**name).map(|n| format!("{name} = {n}")),
        Dim::Fixed(_) => None,
    };
    let numbers: Vec<String> = shape.dims().iter().filter_map(number).collect();
    if numbers.is_empty() { String::new() } else { format!(" ({})", numbers.join(", ")) }
}

fn batch_shape(input: &Input, batch: usize) -> Result<Vec<usize>> {
    let dims = input.shape.dims();
    let open =
        || RuntimeError::OpenShape { name: input.name.clone(), declared: input.shape.clone() };
    if let Some(fixed) = dims.first().and_then(Dim::fixed).filter(|&fixed| fixed != batch) {
        return Err(RuntimeError::Batch { fixed, asked: batch });
    }
    let rest = dims.iter().skip(1).map(|dim| dim.fixed().ok_or_else(open));
    dims.first().map(|_| Ok(batch)).into_iter().chain(rest).collect()
}
