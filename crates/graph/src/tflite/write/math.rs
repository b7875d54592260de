//! Functions of single elements, softmax, and the way into and out of 8-bit integers.

use super::file::{Options, type_code};
use super::flat::Table;
use super::nodes::{binary, unary, unwritten};
use super::tasks::Integer;
use super::values::Writer;
use crate::tflite::schema::options;
use crate::tflite::tensors::integers;
use crate::{Binary, DType, Node, Op, Result, Tensor, Unary, ValueId};

impl Writer<'_> {
    /// A Dequantize is no operator: its result is known by the codes, and made when asked for.
    pub(super) fn dequantize(&mut self, node: &Node) -> Result<()> {
        let x = node.input(0)?;
        if self.graph.constant(x).is_some() {
            // int32 (a bias) is read where it is used.
            let stored = self.graph.value(x).dtype.is_quantised();
            return if stored { self.hold_constant(node) } else { Ok(()) };
        }
        if self.params.get(x).is_none() {
            return Err(node.error("TFLite dequantises 8-bit integers only"));
        }
        self.share_codes(node.output(), x);
        Ok(())
    }

    pub(super) fn quantize(&mut self, node: &Node) -> Result<()> {
        let (x, id) = (node.input(0)?, node.output());
        let Some(wanted) = self.params.get(id).cloned() else { return Err(unwritten(node)) };
        let own = self.quant(x).cloned();
        if own.is_some_and(|q| q.scales == wanted.scales && q.zeros == wanted.zeros) {
            self.share_codes(id, x);
            return Ok(());
        }
        let order = self.order(x);
        let from = self.moved(x, &order)?;
        let dims = self.file.tensors[from].dims.clone();
        let y = self.file.tensor(&self.name(id), self.params.dtype, dims, Some(wanted));
        self.emit("QUANTIZE", &[from], y, None);
        self.hold_codes(id, &order, y);
        Ok(())
    }

    pub(super) fn unary(&mut self, index: usize, function: &Unary) -> Result<()> {
        let node = &self.graph.nodes[index];
        let is_float = self.graph.value(node.output()).dtype == DType::F32;
        if let Some((min, max)) =
            node.op.clamp_bounds().filter(|_| !is_float || unary(function).is_none())
        {
            // Activations are of floats and codes only.
            return self.clip(index, min, max);
        }
        let Some((op, kind)) = unary(function) else { return self.spelled(node, function) };
        let options: Option<Options> = match function {
            Unary::LeakyRelu { alpha } => {
                Some((options::LEAKY_RELU, Table::default().with(0, *alpha)))
            }
            Unary::Gelu { tanh } => Some((options::GELU, Table::default().with(0, *tanh))),
            _ => None,
        };
        let x = node.input(0)?;
        let task = self.task(index, &[x], kind, false)?;
        let order = self.order(x);
        let from = self.input(&task, x, &order)?;
        let y = self.output(&task, &order);
        self.emit(op, &[from], y, options);
        self.complete(task, y, &order)
    }

    /// Bounds that no activation has. Codes are quantised to the result's parameters first.
    fn clip(&mut self, index: usize, min: f32, max: f32) -> Result<()> {
        let node = &self.graph.nodes[index];
        let (x, id) = (node.input(0)?, node.output());
        let order = self.order(x);
        if let [reader] = self.readers[id.index()][..]
            && matches!(self.graph.nodes[reader].op, Op::Quantize { .. })
            && !self.graph.is_output(id)
            && self.quant(x).is_some()
        {
            let out = self.graph.nodes[reader].output();
            if let Some(wanted) = self.params.get(out).cloned() {
                self.done[reader] = true;
                let codes = self.codes_of(x, &order)?;
                let y = self.bounded(codes, (min, max), &wanted)?;
                self.hold_codes(out, &order, y);
                return Ok(());
            }
        }
        let mut y = self.plain(x, &order)?;
        for (op, bound) in [("MAXIMUM", min), ("MINIMUM", max)] {
            let (lowest, highest) = range(self.file.tensors[y].dtype);
            if if op == "MAXIMUM" { bound > lowest } else { bound < highest } {
                y = self.step_with(node, op, y, bound)?;
            }
        }
        self.hold(id, &order, y);
        Ok(())
    }

    /// Functions that are written as several operators.
    fn spelled(&mut self, node: &Node, function: &Unary) -> Result<()> {
        let x = node.input(0)?;
        let order = self.order(x);
        let from = self.plain(x, &order)?;
        let y = match function {
            Unary::Silu => {
                let gate = self.step(node, "LOGISTIC", &[from])?;
                self.step(node, "MUL", &[from, gate])?
            }
            Unary::HardSigmoid { alpha, beta } => {
                let scaled = self.step_with(node, "MUL", from, *alpha)?;
                let moved = self.step_with(node, "ADD", scaled, *beta)?;
                self.step(node, "RELU_0_TO_1", &[moved])?
            }
            Unary::Reciprocal => {
                let one =
                    self.file.constant(&format!("{}.one", node.name), &Tensor::scalar(1.0), None);
                let dims = self.file.tensors[from].dims.clone();
                let y = self.file.tensor(&node.name, DType::F32, dims, None);
                self.emit("DIV", &[one, from], y, Some((options::DIV, Table::default())));
                y
            }
            Unary::Softplus => {
                let exp = self.step(node, "EXP", &[from])?;
                let sum = self.step_with(node, "ADD", exp, 1.0)?;
                self.step(node, "LOG", &[sum])?
            }
            Unary::Mish => {
                let exp = self.step(node, "EXP", &[from])?;
                let sum = self.step_with(node, "ADD", exp, 1.0)?;
                let log = self.step(node, "LOG", &[sum])?;
                let gate = self.step(node, "TANH", &[log])?;
                self.step(node, "MUL", &[from, gate])?
            }
            _ => return Err(unwritten(node)),
        };
        self.hold(node.output(), &order, y);
        Ok(())
    }

    /// An operator on tensors of one type, with the first one's extents.
    pub(super) fn step(
        &mut self,
        node: &Node,
        op: &'static str,
        inputs: &[usize],
    ) -> Result<usize> {
        let from = &self.file.tensors[inputs[0]];
        let (dtype, dims) = (from.dtype, from.dims.clone());
        let y = self.file.tensor(&self.name(node.output()), dtype, dims, None);
        let options = arithmetic(op).map(|member| (member, Table::default()));
        self.emit(op, inputs, y, options);
        Ok(y)
    }

    /// As [`Writer::step`], of a tensor and a number.
    pub(super) fn step_with(
        &mut self,
        node: &Node,
        op: &'static str,
        x: usize,
        number: f32,
    ) -> Result<usize> {
        let name = format!("{}.number", node.name);
        let number = match self.file.tensors[x].dtype {
            DType::F32 => Tensor::scalar(number),
            dtype => integers(dtype, vec![], &[number as i64])?,
        };
        let number = self.file.constant(&name, &number, None);
        self.step(node, op, &[x, number])
    }

    pub(super) fn binary(&mut self, index: usize, function: Binary) -> Result<()> {
        let node = &self.graph.nodes[index];
        let Some((op, kind, fuses)) = binary(function) else { return Err(unwritten(node)) };
        let inputs = [node.input(0)?, node.input(1)?];
        let is_float = self.graph.value(inputs[0]).dtype == DType::F32;
        let task = self.task(index, &inputs, kind, fuses && is_float)?;
        let order = self.broadcast_order(node)?;
        let mut tensors = vec![];
        for id in inputs {
            let tensor = self.operand(id, &order, task.integer)?;
            // These pick numbers, so that all must mean the same.
            let picks = matches!(function, Binary::Max | Binary::Min);
            tensors.push(if picks { self.like_own(&task, tensor)? } else { tensor });
        }
        let y = self.output(&task, &order);
        let options =
            arithmetic(op).map(|member| (member, Table::default().with(0, task.activation)));
        let least = if op == "MUL" && self.grows(&tensors, y) { 3 } else { 1 };
        let tensors: Vec<Option<usize>> = tensors.into_iter().map(Some).collect();
        self.file.call(op, &tensors, &[y], options, least);
        self.complete(task, y, &order)
    }

    /// The remainder with the sign of the dividend: that of the magnitudes, where FLOOR_MOD is the
    /// same, with the sign put back.
    pub(super) fn remainder(&mut self, node: &Node) -> Result<()> {
        if self.graph.value(node.output()).dtype != DType::F32 {
            return Err(unwritten(node));
        }
        let order = self.broadcast_order(node)?;
        let x = self.operand(node.input(0)?, &order, false)?;
        let y = self.operand(node.input(1)?, &order, false)?;
        let (sign, x) = (self.step(node, "SIGN", &[x])?, self.step(node, "ABS", &[x])?);
        let y = self.step(node, "ABS", &[y])?;
        let rest = self.plain_result(node, &order);
        self.emit("FLOOR_MOD", &[x, y], rest, None);
        let result = self.step(node, "MUL", &[rest, sign])?;
        self.rehold(node.output(), &order, result);
        Ok(())
    }

    /// Whether a product of integers is scaled up, which kernels can do since version 3.
    fn grows(&self, inputs: &[usize], output: usize) -> bool {
        let scale = |t: usize| self.file.tensors[t].quant.as_ref().map(|q| q.scales[0]);
        match (scale(inputs[0]), scale(inputs[1]), scale(output)) {
            (Some(a), Some(b), Some(y)) => a * b / y >= 1.0,
            _ => false,
        }
    }

    /// The order of the result of a node whose inputs broadcast: that of the first computed input
    /// of its rank.
    fn broadcast_order(&self, node: &Node) -> Result<Vec<usize>> {
        let rank = self.rank(node.output());
        let ids = node.inputs.iter().flatten().copied();
        let full: Vec<ValueId> = ids.filter(|&id| self.rank(id) == rank).collect();
        let computed = |id: &&ValueId| {
            self.graph.constant(**id).is_none() && self.constant_codes(**id).is_none()
        };
        let first = full.iter().find(computed).or(full.first());
        Ok(first.map_or_else(|| super::values::usual(rank), |&id| self.order(id)))
    }

    /// The tensor of an operand that broadcasts to a result in this order.
    fn operand(&mut self, id: ValueId, order: &[usize], codes: bool) -> Result<usize> {
        let (own, rank) = (self.rank(id), order.len());
        let get = |w: &mut Self, order: &[usize]| {
            if codes { w.codes_of(id, order) } else { w.plain(id, order) }
        };
        let natural: Vec<usize> = (0..own).collect();
        if own == rank {
            return get(self, order);
        }
        let missing = rank - own;
        // Dimensions in front are new and have extent 1; the others keep their order.
        let ascending = order.iter().filter(|&&d| d >= missing).is_sorted();
        let trailing = order[..missing].iter().all(|&d| d < missing);
        if own == 0 || (ascending && trailing) {
            return get(self, &natural);
        }
        let inner: Vec<usize> =
            order.iter().filter(|&&d| d >= missing).map(|d| d - missing).collect();
        let x = get(self, &inner)?;
        let from = &self.file.tensors[x];
        let (dtype, quant, from_dims) = (from.dtype, from.quant.clone(), from.dims.clone());
        let mut left = from_dims.into_iter();
        let dims: Vec<_> = order
            .iter()
            .map(|&d| if d < missing { 1.into() } else { left.next().unwrap_or(1.into()) })
            .collect();
        let name = format!("{}.aligned", self.name(id));
        let shape: Vec<i32> = dims.iter().map(|d| d.fixed().map_or(-1, |n| n as i32)).collect();
        let shape = self.file.ints(&format!("{name}.shape"), &[rank], &shape)?;
        let y = self.file.tensor(&name, dtype, dims, quant);
        self.emit("RESHAPE", &[x, shape], y, None);
        Ok(y)
    }

    /// An operator without parameters on inputs that broadcast.
    pub(super) fn same_order(&mut self, node: &Node, op: &'static str) -> Result<()> {
        let order = self.broadcast_order(node)?;
        let ids = node.inputs.iter().flatten().copied().collect::<Vec<_>>();
        let inputs = ids.into_iter().map(|id| self.operand(id, &order, false));
        let inputs = inputs.collect::<Result<Vec<usize>>>()?;
        let y = self.plain_result(node, &order);
        self.emit(op, &inputs, y, None);
        Ok(())
    }

    /// The tensor for the result of a node, of the type that the graph says.
    pub(super) fn plain_result(&mut self, node: &Node, order: &[usize]) -> usize {
        let value = self.graph.value(node.output());
        let dims = super::values::ordered(value.shape.dims(), order);
        let y = self.file.tensor(&value.name, value.dtype, dims, None);
        self.hold(node.output(), order, y);
        y
    }

    pub(super) fn cast(&mut self, node: &Node, to: DType) -> Result<()> {
        let x = node.input(0)?;
        let order = self.order(x);
        let from = self.plain(x, &order)?;
        let y = self.plain_result(node, &order);
        let dtype = self.file.tensors[from].dtype;
        let options = Table::default().with(0, type_code(dtype)).with(1, type_code(to));
        self.emit("CAST", &[from], y, Some((options::CAST, options)));
        Ok(())
    }

    /// An operator along the last dimension of its tensor.
    pub(super) fn along(&mut self, index: usize, op: &'static str, axis: usize) -> Result<()> {
        let node = &self.graph.nodes[index];
        let x = node.input(0)?;
        let mut order = self.order(x);
        if order.last() != Some(&axis) {
            order.retain(|&d| d != axis);
            order.push(axis);
        }
        let (kind, options) = match op {
            "SOFTMAX" => {
                let options = Table::default().with(0, 1.0f32);
                (Integer::Only(1.0 / 256.0, -128), Some((options::SOFTMAX, options)))
            }
            "LOG_SOFTMAX" => (Integer::Only(16.0 / 256.0, 127), None),
            _ => (Integer::Only(1.0 / 128.0, 0), Some((options::L2_NORM, Table::default()))),
        };
        let task = self.task(index, &[x], kind, false)?;
        let from = self.input(&task, x, &order)?;
        let y = self.output(&task, &order);
        self.emit(op, &[from], y, options);
        self.complete(task, y, &order)
    }
}

/// The numbers of a type; infinite ones of floats, which bound nothing.
fn range(dtype: DType) -> (f32, f32) {
    match dtype {
        DType::U8 => (0.0, 255.0),
        DType::I8 => (-128.0, 127.0),
        DType::I32 => (i32::MIN as f32, i32::MAX as f32),
        DType::I64 => (i64::MIN as f32, i64::MAX as f32),
        _ => (f32::NEG_INFINITY, f32::INFINITY),
    }
}

/// The options of an operator with a fused activation.
fn arithmetic(op: &str) -> Option<u8> {
    Some(match op {
        "ADD" => options::ADD,
        "SUB" => options::SUB,
        "MUL" => options::MUL,
        "DIV" => options::DIV,
        _ => return None,
    })
}
