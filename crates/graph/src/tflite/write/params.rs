//! Scales and zero points of 8-bit values, and which 8-bit type the file uses for them.
//!
//! In a graph they belong to Quantize and Dequantize, in a file to the tensor. A file uses one
//! type: int8, as TensorFlow Lite's specification of quantisation says, with weights symmetric and
//! per channel; or uint8, the older scheme, where some weights are not symmetric, which only that
//! one allows. A byte `b` of uint8 is the int8 `b - 128` with the zero point moved by as much, so
//! that both mean the same number.

use std::sync::Arc;

use crate::tflite::tensors::{Quant, integers};
use crate::{DType, Graph, Node, Op, Result, Tensor, ValueId};

/// Parameters of the 8-bit values of a graph, as the file has them.
pub(super) struct Params {
    by_value: Vec<Option<Arc<Quant>>>,
    /// The 8-bit type of the file: int8 or uint8.
    pub dtype: DType,
}

impl Params {
    pub fn of(graph: &Graph) -> Result<Params> {
        let dtype = file_type(graph);
        let mut params = Params { by_value: vec![None; graph.values().len()], dtype };
        for node in &graph.nodes {
            let id = match node.op {
                Op::Quantize { .. } => node.output(),
                Op::Dequantize { .. } if graph.constant(node.input(0)?).is_none() => {
                    node.input(0)?
                }
                _ => continue,
            };
            params.learn(graph, node, id)?;
        }
        while params.spread(graph)? {}
        Ok(params)
    }

    /// Parameters of an 8-bit value; `None` where nothing says what its integers mean.
    pub fn get(&self, id: ValueId) -> Option<&Arc<Quant>> {
        self.by_value[id.index()].as_ref()
    }

    fn learn(&mut self, graph: &Graph, node: &Node, id: ValueId) -> Result<()> {
        let own = graph.value(id).dtype;
        let (scales, zeros) = constants(graph, node, own)?;
        if scales.len() != 1 || !own.is_quantised() {
            let problem = "TFLite quantises activations to 8 bits with one scale a tensor";
            return Err(node.error(problem));
        }
        let zeros = zeros.iter().map(|z| z + shift(own, self.dtype)).collect();
        self.set(node, id, &Arc::new(Quant { scales, zeros, axis: 0 })).map(|_| ())
    }

    /// Whether that was new. Fails where the value has other parameters already.
    fn set(&mut self, node: &Node, id: ValueId, quant: &Arc<Quant>) -> Result<bool> {
        match &self.by_value[id.index()] {
            Some(known) if known.scales == quant.scales && known.zeros == quant.zeros => Ok(false),
            Some(_) => Err(node.error(
                "reads 8-bit integers with other parameters than they were made with, which a \
                 TFLite tensor cannot have",
            )),
            None => {
                self.by_value[id.index()] = Some(quant.clone());
                Ok(true)
            }
        }
    }

    /// What moves 8-bit integers has one set of parameters for all of them. Returns whether
    /// something was learnt.
    fn spread(&mut self, graph: &Graph) -> Result<bool> {
        let mut learnt = false;
        for node in &graph.nodes {
            let moves = graph.value(node.output()).dtype.is_quantised();
            if !moves || matches!(node.op, Op::Quantize { .. }) {
                continue;
            }
            let ids = node.inputs.iter().flatten().chain(&node.outputs);
            let bytes: Vec<ValueId> =
                ids.copied().filter(|&id| graph.value(id).dtype.is_quantised()).collect();
            let Some(quant) = bytes.iter().find_map(|&id| self.get(id)).cloned() else { continue };
            for id in bytes {
                learnt |= self.set(node, id, &quant)?;
            }
        }
        Ok(learnt)
    }
}

/// What to add to an integer of type `from` to have the same number as type `to`.
pub(super) fn shift(from: DType, to: DType) -> i64 {
    match (from, to) {
        (DType::U8, DType::I8) => -128,
        (DType::I8, DType::U8) => 128,
        _ => 0,
    }
}

/// Scales and zero points of a Quantize or Dequantize of `dtype`.
fn constants(graph: &Graph, node: &Node, dtype: DType) -> Result<(Vec<f32>, Vec<i64>)> {
    let constant = |index: usize| {
        let id = node.inputs.get(index).copied().flatten();
        id.map(|id| {
            let what = if index == 1 { "scale" } else { "zero point" };
            let problem = format!("its {what} must be a constant");
            graph.constant(id).ok_or_else(|| node.error(problem))
        })
    };
    let scales = constant(1).transpose()?.map(Tensor::to_f32).unwrap_or_default();
    if scales.iter().any(|s| !s.is_finite() || *s < 0.0) {
        return Err(node.error("has a scale that is negative or not finite"));
    }
    let zeros = match constant(2).transpose()? {
        Some(zeros) => zeros.to_i64()?,
        None => vec![0; scales.len()],
    };
    if dtype == DType::I32 && zeros.iter().any(|&z| z != 0) {
        return Err(node.error("has int32 with a zero point, which TFLite lacks"));
    }
    Ok((scales, zeros))
}

/// The constant integers behind the Dequantize `node`, of type `to` where they are 8-bit, and
/// their parameters with the axis in the graph's order.
pub(super) fn stored_codes(graph: &Graph, node: &Node, to: DType) -> Result<(Tensor, Quant)> {
    let tensor =
        graph.constant(node.input(0)?).ok_or_else(|| node.error("is not of a constant"))?;
    let (scales, zeros) = constants(graph, node, tensor.dtype())?;
    let Op::Dequantize { axis } = node.op else { return Err(node.error("is no Dequantize")) };
    let to = if tensor.dtype().is_quantised() { to } else { tensor.dtype() };
    let shift = shift(tensor.dtype(), to);
    let codes: Vec<i64> = tensor.to_i64()?.iter().map(|c| c + shift).collect();
    let zeros = zeros.iter().map(|z| z + shift).collect();
    let axis = if scales.len() == 1 { 0 } else { axis };
    Ok((integers(to, tensor.shape().to_vec(), &codes)?, Quant { scales, zeros, axis }))
}

/// uint8 where the weights of a layer are not symmetric around one integer that is zero in int8.
fn file_type(graph: &Graph) -> DType {
    let producers = graph.producers();
    let asymmetric = |node: &Node| {
        let layer =
            matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul);
        let weights = node.inputs.get(1).copied().flatten().filter(|_| layer)?;
        let node = &graph.nodes[producers[weights.index()]?];
        let dequantize = matches!(node.op, Op::Dequantize { .. }).then_some(node)?;
        let codes = graph.constant(dequantize.input(0).ok()?)?;
        let (_, zeros) = constants(graph, dequantize, codes.dtype()).ok()?;
        let middle = if codes.dtype() == DType::U8 { 128 } else { 0 };
        Some(zeros.iter().any(|&z| z != middle))
    };
    let old = graph.nodes.iter().any(|node| asymmetric(node).unwrap_or(false));
    if old { DType::U8 } else { DType::I8 }
}
