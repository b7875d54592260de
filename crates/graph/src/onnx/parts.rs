//! Nodes of the file that are several in the graph.

use super::import::{Importer, stem};
use super::node::{Meaning, NodeIn};
use crate::op::{Binary, Reduction, Unary};
use crate::{DType, Data, Node, Op, Result, Tensor, ValueId};

impl Importer {
    /// Adds an intermediate node of one output, under fresh names made from those of `node` and
    /// `suffix`, and returns its result.
    pub fn emit(
        &mut self,
        node: &NodeIn,
        suffix: &str,
        op: Op,
        inputs: &[Option<ValueId>],
    ) -> Result<ValueId> {
        let name = format!("{}_{suffix}", stem(&node.name));
        let (name, output) = (self.nodes.fresh(&name), self.values.fresh(&name));
        self.push(Node { name, op, inputs: inputs.to_vec(), outputs: vec![] }, output)
    }

    /// The value of what is an operator, or a value already, as an intermediate one.
    pub fn settle(&mut self, node: &NodeIn, meaning: Meaning) -> Result<ValueId> {
        match meaning {
            Meaning::Op(op, inputs) => {
                let name = op.name();
                self.emit(node, name, op, &inputs)
            }
            Meaning::Same(id) => Ok(id),
            _ => Err(node.malformed("has no single result")),
        }
    }

    /// [`Importer::emit`] for a function of one value, named after it.
    pub fn unary(&mut self, node: &NodeIn, function: Unary, x: ValueId) -> Result<ValueId> {
        self.emit(node, function.name(), Op::Unary(function), &[Some(x)])
    }

    /// [`Importer::emit`] for a function of two values, named after it.
    pub fn binary(
        &mut self,
        node: &NodeIn,
        function: Binary,
        a: ValueId,
        b: ValueId,
    ) -> Result<ValueId> {
        self.emit(node, function.name(), Op::Binary(function), &[Some(a), Some(b)])
    }

    /// The elements of `x` joined along `axes`, which stay with extent 1.
    pub fn reduce(
        &mut self,
        node: &NodeIn,
        kind: Reduction,
        x: ValueId,
        axes: &[usize],
    ) -> Result<ValueId> {
        let op = Op::Reduce { kind, axes: axes.to_vec(), keep_dims: true };
        self.emit(node, kind.name(), op, &[Some(x)])
    }

    /// `x` as another type; itself where it has that type.
    pub fn cast(&mut self, node: &NodeIn, x: ValueId, to: DType) -> Result<ValueId> {
        if self.graph.value(x).dtype == to {
            return Ok(x);
        }
        self.emit(node, "cast", Op::Cast { to }, &[Some(x)])
    }

    /// A float32 constant without dimensions.
    pub fn scalar(&mut self, node: &NodeIn, value: f32) -> Result<ValueId> {
        self.add_constant(&format!("{}_number", stem(&node.name)), Tensor::scalar(value))
    }

    /// A vector of positions, for Gather. Counts as a computed constant.
    pub fn positions(&mut self, node: &NodeIn, positions: Vec<i64>) -> Result<ValueId> {
        self.count_folded(positions.len(), &node.name)?;
        let name = format!("{}_positions", stem(&node.name));
        self.add_constant(&name, Tensor::vector(positions))
    }
}

/// A tensor of `dims` with the number `value` everywhere, as an integer where `dtype` is one.
pub(super) fn filled(dims: Vec<usize>, dtype: DType, value: f32) -> Result<Tensor> {
    let count = crate::checked_len(&dims, "constant")?;
    let data: Data = match dtype {
        DType::F32 => vec![value; count].into(),
        DType::U8 => vec![value as u8; count].into(),
        DType::I8 => vec![value as i8; count].into(),
        DType::I32 => vec![value as i32; count].into(),
        DType::I64 => vec![value as i64; count].into(),
        DType::Bool => vec![value != 0.0; count].into(),
    };
    Tensor::new(dims, data)
}
