//! Gathering and scattering at constant positions.

use edgecut_graph::{DType, Node, Op, ScatterMode};

use super::Compiler;
use crate::error::{Result, TrainError};
use crate::grad::{ScatterAdd, Spread};

impl Compiler<'_> {
    pub fn gather(&mut self, node: &Node) -> Result<()> {
        self.check_positions(node)?;
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        self.moves(node)
    }

    /// Elements of the first input, some of which are replaced by updates or have updates added.
    pub fn scatter(&mut self, node: &Node, mode: ScatterMode) -> Result<()> {
        self.check_positions(node)?;
        if mode == ScatterMode::Replace {
            let (data, updates) = (self.input(node, 0)?, self.input(node, 2)?);
            let from = self.sources(node, &[(0, data), (2, updates)])?;
            return self.place(node, &[data, updates], &from, 0.0);
        }
        if mode != ScatterMode::Add {
            return Err(TrainError::unsupported(
                node,
                "has a gradient for updates that replace or add",
            ));
        }
        let (data, updates) = (self.rows(node, 0)?, self.rows(node, 2)?);
        // The element that an update meets is the one that a Gather finds there.
        let mut gather = node.clone();
        gather.op = match node.op {
            Op::ScatterElements { axis, .. } => Op::GatherElements { axis },
            _ => Op::GatherNd { batch_dims: 0 },
        };
        gather.inputs.truncate(2);
        let places = Spread::new(self.sources(&gather, &[(0, data)])?, self.len(node.input(0)?));
        self.operator(node, ScatterAdd::new(self.batch, places), &[data, updates], None);
        Ok(())
    }

    /// One of two values at each place: they may be computed where the positions are constant.
    pub fn one_hot(&mut self, node: &Node) -> Result<()> {
        if self.graph.value(node.output()).dtype != DType::F32 {
            return self.detached(node);
        }
        if self.constant(node.input(0)?).is_none() {
            let values = node.input(1)?;
            if self.constant(values).is_none() {
                return Err(TrainError::unsupported(
                    node,
                    "its positions or its values must be constant",
                ));
            }
            return self.detached(node);
        }
        let values = self.rows(node, 1)?;
        let from = self.sources(node, &[(1, values)])?;
        self.place(node, &[values], &from, 0.0)
    }

    fn check_positions(&self, node: &Node) -> Result<()> {
        let id = node.input(1)?;
        if self.constant(id).is_none() {
            let name = &self.graph.value(id).name;
            let problem = format!("its positions '{name}' must be constant");
            return Err(TrainError::unsupported(node, problem));
        }
        Ok(())
    }
}
