//! Plans of a model by batch: which sizes pay, and sessions for every worker.
//!
//! Sizes are powers of two. A batch of any number of rows is computed in pieces of these sizes, the
//! largest first, so that no row is computed in vain. A size is kept if a row of it takes less time
//! than in the sizes below, measured when the model is loaded, and if its rows come out as the same
//! bits as alone: a graph that mixes its rows is served row by row.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use edgecut_graph::{DType, Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{Model, Plan, Session};

/// A size must save this share of a row's time to be kept.
const WORTH: f64 = 0.03;
/// Runs of which the fastest counts.
const RUNS: usize = 5;

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct PortShape {
    /// Name
    pub name: String,
    /// Element type
    pub dtype: DType,
    /// Extents of a row, without the batch where it is open; else all.
    pub extents: Vec<usize>,
    /// Whether the first extent is the number of rows.
    pub open: bool,
}

impl PortShape {
    /// Shape of so many rows.
    pub fn row_shape(&self, rows: usize) -> Vec<usize> {
        let batch = self.open.then_some(rows);
        batch.into_iter().chain(self.extents.iter().copied()).collect()
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.extents.iter().product::<usize>() * self.dtype.bytes()
    }

    /// As metadata says it: -1 where any extent is taken.
    pub fn declared(&self) -> Vec<i64> {
        let batch = self.open.then_some(-1);
        batch.into_iter().chain(self.extents.iter().map(|&d| d as i64)).collect()
    }
}

/// A plan with a session for every worker.
struct Piece {
    rows: usize,
    sessions: Vec<Mutex<Session>>,
}

/// All plans of a model.
pub struct Plans {
    inputs: Vec<PortShape>,
    outputs: Vec<PortShape>,
    /// Largest first; the last has one row.
    pieces: Vec<Piece>,
    row_time: Duration,
}

type Checked<T> = Result<T, String>;

impl Plans {
    /// Plans of a graph whose batch may be open.
    pub fn of_graph(graph: Graph, max_batch: usize, pools: &[Arc<Pool>]) -> Checked<Plans> {
        let open = !graph.inputs.is_empty()
            && graph.inputs.iter().all(|&input| {
                graph.value(input).shape.dims().first().is_some_and(|d| d.fixed().is_none())
            });
        let model = Model::new(graph, Arc::clone(&pools[0]));
        let fixed: Vec<usize> =
            model.inputs().iter().filter_map(|i| i.shape.dims().first()?.fixed()).collect();
        if !open {
            let shapes: Option<Vec<Vec<usize>>> =
                model.inputs().iter().map(|i| i.shape.to_fixed()).collect();
            let shapes = shapes.ok_or_else(|| {
                format!("some inputs fix the batch ({fixed:?}) and others do not")
            })?;
            let plan = model.plan_for(&shapes).map_err(|e| e.to_string())?;
            return Plans::build(vec![plan], false, pools);
        }
        let sizes = (0..).map(|power| 1 << power).take_while(|&size| size <= max_batch.max(1));
        let plans: Checked<Vec<Arc<Plan>>> =
            sizes.map(|size| model.plan(size).map_err(|e| e.to_string())).collect();
        Plans::build(plans?, true, pools)
    }

    /// Plans that were compiled before; those that differ in more than the batch are left out.
    pub fn of_packed(
        mut plans: Vec<Arc<Plan>>,
        max_batch: usize,
        pools: &[Arc<Pool>],
    ) -> Checked<Plans> {
        plans.sort_by_key(|plan| plan.batch());
        let first = plans.first().cloned().ok_or("holds no plan")?;
        let rest = |plan: &Plan| -> Vec<Vec<usize>> {
            plan.inputs().iter().map(|i| i.shape.get(1..).unwrap_or_default().to_vec()).collect()
        };
        let single =
            first.batch() == 1 && first.inputs().iter().all(|i| i.shape.first() == Some(&1));
        plans.retain(|plan| rest(plan) == rest(&first) && plan.batch() <= max_batch.max(1));
        if plans.len() < 2 || !single {
            return Plans::build(vec![first], false, pools);
        }
        Plans::build(plans, true, pools)
    }

    fn build(plans: Vec<Arc<Plan>>, open: bool, pools: &[Arc<Pool>]) -> Checked<Plans> {
        let open = open && !plans.is_empty() && opens(&plans);
        let plans = if open { plans } else { plans.into_iter().take(1).collect() };
        let first = plans.first().ok_or("holds no plan")?;
        let port = |port: &edgecut_runtime::Port| PortShape {
            name: port.name.clone(),
            dtype: port.dtype,
            extents: port.shape[usize::from(open)..].to_vec(),
            open,
        };
        let inputs: Vec<PortShape> = first.inputs().iter().map(port).collect();
        let outputs = first.outputs().iter().map(port).collect();
        let (mut kept, mut best, mut alone) = (Vec::new(), f64::INFINITY, Vec::new());
        for plan in &plans {
            let rows = if open { plan.inputs()[0].shape[0] } else { 1 };
            let mut session = Session::new(Arc::clone(plan), Arc::clone(&pools[0]));
            let (time, outputs) = measure(&mut session, &inputs, rows)?;
            if rows == 1 {
                alone = outputs;
            } else if !same_rows(&outputs, &alone) {
                break;
            }
            let each = time.as_secs_f64() / rows as f64;
            if rows == 1 || each < best * (1.0 - WORTH) {
                best = best.min(each);
                kept.push((rows, Arc::clone(plan)));
            }
        }
        let sessions = |plan: &Arc<Plan>| {
            let session =
                |pool: &Arc<Pool>| Mutex::new(Session::new(Arc::clone(plan), Arc::clone(pool)));
            pools.iter().map(session).collect()
        };
        let pieces =
            kept.iter().rev().map(|(rows, plan)| Piece { rows: *rows, sessions: sessions(plan) });
        let pieces = pieces.collect();
        Ok(Plans { inputs, outputs, pieces, row_time: Duration::from_secs_f64(best) })
    }

    /// Inputs in order.
    pub fn inputs(&self) -> &[PortShape] {
        &self.inputs
    }

    /// Outputs in order.
    pub fn outputs(&self) -> &[PortShape] {
        &self.outputs
    }

    /// Most rows that are computed together.
    pub fn largest(&self) -> usize {
        self.pieces.first().map_or(1, |piece| piece.rows)
    }

    /// Time of a row as measured at first.
    pub fn row_time(&self) -> Duration {
        self.row_time
    }

    /// A worker's session for the largest piece of at most `rows`, and its rows.
    pub fn session(&self, rows: usize, worker: usize) -> Option<(usize, MutexGuard<'_, Session>)> {
        let piece = self.pieces.iter().find(|piece| piece.rows <= rows)?;
        let session = piece.sessions.get(worker)?;
        Some((piece.rows, session.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Whether every input and output of plans for 1, 2, ... rows has them as its first extent.
fn opens(plans: &[Arc<Plan>]) -> bool {
    let first = &plans[0];
    let ports = |plan: &Plan| -> Vec<Vec<usize>> {
        plan.inputs().iter().chain(plan.outputs()).map(|port| port.shape.clone()).collect()
    };
    let one = ports(first);
    plans.iter().all(|plan| {
        let rows = plan.inputs().first().and_then(|i| i.shape.first().copied());
        let grown = |(shape, one): (&Vec<usize>, &Vec<usize>)| {
            shape.first().copied() == rows && one.first() == Some(&1) && shape[1..] == one[1..]
        };
        ports(plan).iter().zip(&one).all(grown)
    })
}

/// Runs with rows of arbitrary content; the least time, and the outputs' bytes by row.
fn measure(
    session: &mut Session,
    inputs: &[PortShape],
    rows: usize,
) -> Checked<(Duration, Vec<Vec<u8>>)> {
    let failed = |e: edgecut_runtime::RuntimeError| e.to_string();
    for (index, port) in inputs.iter().enumerate() {
        let tensor = pattern(port, rows)?;
        session.set_input(index, &tensor).map_err(failed)?;
    }
    let mut least = Duration::MAX;
    for _ in 0..RUNS {
        let began = Instant::now();
        session.run().map_err(failed)?;
        least = least.min(began.elapsed());
    }
    let count = session.plan().outputs().len();
    let mut by_row = vec![Vec::new(); rows];
    for index in 0..count {
        let bytes = session.output(index).map_err(failed)?.to_le_bytes();
        let size = (bytes.len() / rows).max(1);
        for (row, part) in by_row.iter_mut().zip(bytes.chunks(size)) {
            row.extend_from_slice(part);
        }
    }
    Ok((least, by_row))
}

/// Rows that differ from each other; the first is that of a single row.
fn pattern(port: &PortShape, rows: usize) -> Checked<Tensor> {
    let (shape, each) = (port.row_shape(rows), port.extents.iter().product::<usize>());
    let count = if port.open { rows * each } else { each };
    // Whole numbers of 0 and 1 are an index, a flag and a number to any operator.
    let value = |i: usize| ((i % each.max(1)) * 7 + (i / each.max(1)) * 3) % 5 % 2;
    let numbers = (0..count).map(value);
    let tensor = match port.dtype {
        DType::F32 => {
            let real = |i: usize| ((i * 37 + i / each.max(1) * 11) % 256) as f32 / 128.0 - 1.0;
            Tensor::new(shape, (0..count).map(real).collect::<Vec<f32>>())
        }
        DType::U8 => Tensor::new(shape, numbers.map(|v| v as u8).collect::<Vec<_>>()),
        DType::I8 => Tensor::new(shape, numbers.map(|v| v as i8).collect::<Vec<_>>()),
        DType::I32 => Tensor::new(shape, numbers.map(|v| v as i32).collect::<Vec<_>>()),
        DType::I64 => Tensor::new(shape, numbers.map(|v| v as i64).collect::<Vec<_>>()),
        DType::Bool => Tensor::new(shape, numbers.map(|v| v == 1).collect::<Vec<_>>()),
    };
    tensor.map_err(|e| e.to_string())
}

/// Whether the first row has the bits that it has alone.
fn same_rows(outputs: &[Vec<u8>], alone: &[Vec<u8>]) -> bool {
    outputs.first() == alone.first()
}
