//! A model for callers whose batches vary.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use edgecut_graph::Graph;
use edgecut_kernels::{Isa, Pool};

use crate::compile::check_batch;
use crate::{CompileOptions, Plan, Result, Session, compile};

/// A graph, its plans by batch, and the threads that its sessions share.
///
/// A plan is compiled when its batch is first asked for, and kept. Weights are packed for each
/// plan on its own.
pub struct Model {
    graph: Graph,
    isa: Isa,
    pool: Arc<Pool>,
    plans: Mutex<BTreeMap<usize, Arc<Plan>>>,
}

impl Model {
    /// A model on the best instruction set of this machine.
    pub fn new(graph: Graph, pool: Arc<Pool>) -> Model {
        Model::with_isa(graph, pool, Isa::detect())
    }

    /// A model on a given instruction set.
    pub fn with_isa(graph: Graph, pool: Arc<Pool>, isa: Isa) -> Model {
        Model { graph, isa, pool, plans: Mutex::default() }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The threads.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The plan for `batch` images per run.
    ///
    /// # Errors
    /// As [`compile`]; and where the graph's inputs have a fixed first extent other than `batch`.
    pub fn plan(&self, batch: usize) -> Result<Arc<Plan>> {
        check_batch(&self.graph, batch)?;
        let mut plans = self.plans.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(plan) = plans.get(&batch) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(compile(&self.graph, &CompileOptions { batch, isa: self.isa })?);
        plans.insert(batch, plan.clone());
        Ok(plan)
    }

    /// A new session for `batch` images per run.
    ///
    /// # Errors
    /// As [`Model::plan`].
    pub fn session(&self, batch: usize) -> Result<Session> {
        Ok(Session::new(self.plan(batch)?, self.pool.clone()))
    }

    /// The batch that the graph fixes, or `None` where it may be any.
    pub fn fixed_batch(&self) -> Option<usize> {
        let input = self.graph.inputs.first()?;
        self.graph.value(*input).shape.dims().first()?.fixed()
    }
}
