//! Models that run on inputs of any shape they admit.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_graph::{Dim, Graph, GraphError, Shape, Tensor, onnx};
use edgecut_kernels::Pool;
use edgecut_runtime::{
    CompileOptions, Input, Model as Runnable, Packed, Plan, Session, compile_for,
};

use super::card::Card;
use super::interface::float_ports;
use super::loaded::check_packed;
use super::model::{self, Model};
use super::shapes::Shapes;
use crate::errors::{Failure, Result};

/// A model file, ready for each set of shapes that it is run at.
pub struct Runner {
    path: PathBuf,
    source: Source,
    inputs: Vec<Input>,
    pool: Arc<Pool>,
    /// The last one, for the next run at the same shapes.
    session: RefCell<Option<Session>>,
}

/// Where plans come from.
enum Source {
    /// All extents but the batch are known.
    Known(Known),
    /// The file leaves height, width or others open; graphs with numbers for 8-bit ports where
    /// `float` says so.
    Open { template: Arc<onnx::Template>, float: bool, model: Box<Runnable> },
    /// Compiled before.
    Packed(Packed),
}

/// A graph, until it is compiled: hardly a caller runs at several shapes, and then the file is read
/// again, but all need the memory that its weights take.
struct Known {
    card: Card,
    graph: RefCell<Option<Graph>>,
    shapes: Shapes,
    float: bool,
    options: CompileOptions,
}

impl Known {
    fn new(model: Model, shapes: &Shapes, float: bool, options: &CompileOptions) -> Known {
        let card = model.card();
        let (graph, shapes) = (RefCell::new(Some(model.graph)), shapes.clone());
        Known { card, graph, shapes, float, options: options.clone() }
    }

    fn plan(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>> {
        let graph = match self.graph.take() {
            Some(graph) => graph,
            None => load(&self.card.path, &self.shapes, self.float)?.graph,
        };
        Ok(Arc::new(compile_for(graph, shapes, &self.options)?))
    }
}

fn load(path: &Path, shapes: &Shapes, float: bool) -> Result<Model> {
    if float { Model::load_float(path, shapes) } else { Model::load_with(path, shapes) }
}

impl Runner {
    /// Opens the file at `path`. With `float`, 8-bit inputs and outputs become the numbers that
    /// they stand for; those of a packed model stay as they were packed.
    pub fn open(
        path: &Path,
        shapes: &Shapes,
        float: bool,
        options: &CompileOptions,
        pool: Arc<Pool>,
    ) -> Result<Runner> {
        model::check(path)?;
        let source = if model::is_packed(path) {
            if !shapes.is_empty() {
                let problem = "--shape: a packed model has the shapes that it was packed for";
                return Err(Failure::input(problem).at(path));
            }
            check_packed(options).map_err(|e| e.at(path))?;
            Source::Packed(Packed::open(path)?)
        } else if !shapes.is_empty() || edgecut_graph::model::is_tflite(path) {
            Source::Known(Known::new(load(path, shapes, float)?, shapes, float, options))
        } else {
            Runner::source(path, float, options, &pool)?
        };
        let inputs = match &source {
            Source::Known(known) => known.card.inputs.clone(),
            Source::Open { model, .. } => model.inputs().to_vec(),
            Source::Packed(packed) => packed_inputs(packed),
        };
        let session = RefCell::new(None);
        Ok(Runner { path: path.to_path_buf(), source, inputs, pool, session })
    }

    /// An ONNX file, read once.
    fn source(
        path: &Path,
        float: bool,
        options: &CompileOptions,
        pool: &Arc<Pool>,
    ) -> Result<Source> {
        let at = |e: GraphError| Failure::from(e).at(path);
        let template = onnx::Template::open(path).map_err(at)?;
        if template.inputs().iter().any(|i| is_open(&i.shape)) {
            let template = Arc::new(template);
            let model = runnable(Arc::clone(&template), float, pool).with_options(options.clone());
            return Ok(Source::Open { template, float, model: Box::new(model) });
        }
        let model = Model::of(path, template.graph(&[]).map_err(at)?, model::check(path)?);
        let model = if float { model.with_float_ports()? } else { model };
        Ok(Source::Known(Known::new(model, &Shapes::default(), float, options)))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Whether the shapes of its inputs follow from what it is given.
    pub fn takes_any_shape(&self) -> bool {
        matches!(self.source, Source::Open { .. })
    }

    /// What is to be known of the model at `shapes`, one for each input.
    pub fn card(&self, shapes: &[Vec<usize>]) -> Result<Card> {
        match &self.source {
            Source::Known(known) => Ok(known.card.clone()),
            Source::Open { template, float, .. } => {
                let graph = template.graph(&named(template, shapes));
                let graph = graph.map_err(|e| Failure::from(e).at(&self.path))?;
                let model = Model::of(&self.path, graph, 0);
                Ok(if *float { model.with_float_ports()?.card() } else { model.card() })
            }
            Source::Packed(packed) => {
                let plan = packed.plan_for(shapes).map_err(|e| Failure::from(e).at(&self.path))?;
                Ok(Card::of_packed(&self.path, packed, &plan))
            }
        }
    }

    /// The outputs for `inputs`.
    pub fn infer(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
        let mut session = self.session.borrow_mut();
        let fits = |s: &Session| s.plan().inputs().iter().map(|i| &i.shape).eq(&shapes);
        let session = match session.take().filter(fits) {
            Some(known) => session.insert(known),
            None => {
                let plan = self.plan(&shapes).map_err(|e| e.at(&self.path))?;
                session.insert(Session::new(plan, Arc::clone(&self.pool)))
            }
        };
        session.infer(inputs).map_err(|e| Failure::from(e).at(&self.path))
    }

    fn plan(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>> {
        match &self.source {
            Source::Known(known) => known.plan(shapes),
            Source::Open { model, .. } => Ok(model.plan_for(shapes)?),
            Source::Packed(packed) => Ok(packed.plan_for(shapes)?),
        }
    }
}

/// The inputs of a packed model: an extent that its plans do not share is open.
fn packed_inputs(packed: &Packed) -> Vec<Input> {
    let plans = packed.plans();
    let input = |(index, port): (usize, &edgecut_runtime::Port)| {
        let extents = |axis: usize| {
            let of = |plan: &Arc<Plan>| plan.inputs().get(index)?.shape.get(axis).copied();
            let all = plans.iter().map(of).collect::<Option<Vec<usize>>>();
            all.filter(|all| all.iter().all(|n| *n == port.shape[axis]))
        };
        let dims = (0..port.shape.len()).map(|axis| match extents(axis) {
            Some(_) => Dim::Fixed(port.shape[axis]),
            None => Dim::from(format!("{}_dim{axis}", port.name).as_str()),
        });
        Input { name: port.name.clone(), dtype: port.dtype, shape: Shape::new(dims.collect()) }
    };
    plans[0].inputs().iter().enumerate().map(input).collect()
}

fn named<'a>(template: &'a onnx::Template, shapes: &[Vec<usize>]) -> Vec<(&'a str, Vec<usize>)> {
    template.inputs().iter().map(|i| i.name.as_str()).zip(shapes.iter().cloned()).collect()
}

fn runnable(template: Arc<onnx::Template>, float: bool, pool: &Arc<Pool>) -> Runnable {
    let input = |declared: &onnx::Declared| Input {
        name: declared.name.clone(),
        // An 8-bit input becomes the numbers that it stands for.
        dtype: if float && declared.dtype.is_quantised() {
            edgecut_graph::DType::F32
        } else {
            declared.dtype
        },
        shape: declared.shape.clone(),
    };
    let inputs = template.inputs().iter().map(input).collect();
    let make = move |shapes: &[Vec<usize>]| -> edgecut_runtime::Result<Graph> {
        let graph = template.graph(&named(&template, shapes))?;
        if !float {
            return Ok(graph);
        }
        let (graph, _) = float_ports(&graph).map_err(|failure| GraphError::Malformed {
            place: "ports".into(),
            problem: failure.message,
        })?;
        Ok(graph)
    };
    Runnable::from_fn(inputs, make, Arc::clone(pool))
}

/// Whether more than the batch is open.
pub fn is_open(shape: &Shape) -> bool {
    shape.dims().iter().skip(1).any(|d| d.fixed().is_none())
}
