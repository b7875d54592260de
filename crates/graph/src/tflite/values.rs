//! From tensors of the file to values of the graph, in the layout that a reader needs.
//!
//! A file's tensors of rank 4 are NHWC. Their *canonical* value is NCHW; tensors of other ranks
//! are taken as they are. Operators that see dimensions as such (Reshape, Squeeze) ask for the
//! *native* order, which costs a Transpose where pixels and channels would mix. Quantised tensors
//! are bytes; what computes with them reads the dequantised form. Every form is made when first
//! asked for and shared by all readers.

use std::collections::HashMap;
use std::sync::Arc;

use super::node::OpIn;
use super::schema::Model;
use super::tensors::{Info, Quant, integers, permuted};
use crate::limits::{MAX_IMPORT_OVERHEAD, MAX_NODES, MAX_VALUES};
use crate::{DType, Dim, Graph, GraphError, Node, Op, ReshapeDim, Result, Shape, Tensor, ValueId};

/// Canonical dimension i is native dimension `TO_NCHW[i]`.
pub(super) const TO_NCHW: [usize; 4] = [0, 3, 1, 2];
/// Native dimension i is canonical dimension `TO_NHWC[i]`.
pub(super) const TO_NHWC: [usize; 4] = [0, 2, 3, 1];

/// The graph under construction, and what the file's tensors are in it.
pub(super) struct Importer<'a> {
    pub model: &'a Model<'a>,
    pub graph: Graph,
    slots: HashMap<usize, Slot>,
    /// Stored tensors that a DEQUANTIZE makes floats of, by its result.
    dequantised: HashMap<usize, usize>,
    names: Names,
    /// Bytes of constants that may still be made.
    budget: u64,
    budget_limit: u64,
}

/// What exists of one tensor.
#[derive(Default)]
struct Slot {
    quant: Option<Arc<Quant>>,
    /// As stored or computed: bytes of a quantised tensor.
    canonical: Option<ValueId>,
    /// Dequantised; the canonical value itself where it is not quantised.
    float: Option<ValueId>,
    /// `float` in the file's order.
    native: Option<ValueId>,
    /// Scale and zero point.
    params: Option<[ValueId; 2]>,
    /// A small integer vector that shape arithmetic computed; -1 stands for the batch.
    ints: Option<Vec<i64>>,
}

impl<'a> Importer<'a> {
    /// An importer of a file of `len` bytes.
    pub fn new(model: &'a Model<'a>, title: &str, len: usize) -> Importer<'a> {
        let budget = 4 * len as u64 + MAX_IMPORT_OVERHEAD as u64;
        Importer {
            model,
            graph: Graph::new(title),
            slots: HashMap::new(),
            dequantised: HashMap::new(),
            names: Names::default(),
            budget,
            budget_limit: budget,
        }
    }

    /// Adds tensor `index` as an input of the graph.
    pub fn add_input(&mut self, index: usize) -> Result<()> {
        let info = Info::read(self.model, index)?;
        if self.slots.contains_key(&index) {
            let place = format!("input '{}'", info.name);
            return Err(GraphError::Malformed { place, problem: "is mentioned twice".into() });
        }
        let mut dims = info.dims.clone();
        if dims.len() == 4 {
            dims = TO_NCHW.iter().map(|&i| info.dims[i].clone()).collect();
        }
        let name = self.names.fresh(&info.name);
        let id = self.graph.add_input(name, info.dtype, Shape::new(dims));
        self.slots.insert(index, computed(&info, id));
        Ok(())
    }

    /// The value that tensor `index` is as an output of the graph, under the tensor's name where
    /// it has none of the file yet.
    pub fn output(&mut self, index: usize) -> Result<ValueId> {
        let id = self.canonical(index)?;
        let name = Info::read(self.model, index)?.name;
        let free = self.graph.find_value(&name).is_none();
        if free && !self.graph.inputs.contains(&id) && !self.graph.outputs.contains(&id) {
            self.graph.value_mut(id).name = name;
        }
        Ok(id)
    }

    /// Counts bytes that a constant takes; small files must not make many large ones.
    pub fn spend(&mut self, bytes: usize, place: &str) -> Result<()> {
        match self.budget.checked_sub(bytes as u64) {
            Some(left) => self.budget = left,
            None => {
                return Err(GraphError::Limit {
                    place: place.into(),
                    what: "memory for constants in bytes",
                    value: self.budget_limit.saturating_add(bytes as u64),
                    limit: self.budget_limit,
                });
            }
        }
        Ok(())
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        self.slots.entry(index).or_default()
    }

    /// Tensor `index` is stored tensor `source` as floats: how files keep weights in few bytes.
    pub fn set_dequantised(&mut self, op: &OpIn, index: usize, source: usize) -> Result<()> {
        let taken = self.slots.contains_key(&index) || self.dequantised.contains_key(&source);
        if taken || self.dequantised.insert(index, source).is_some() || index == source {
            return Err(op.malformed("its result is computed twice"));
        }
        Ok(())
    }

    /// The tensor's data, type and parameters where the file stores it, over a DEQUANTIZE.
    pub fn stored(&mut self, index: usize) -> Result<Option<(Info, Tensor)>> {
        let index = self.dequantised.get(&index).copied().unwrap_or(index);
        let info = Info::read(self.model, index)?;
        let bytes = info.bytes(self.model)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.spend(2 * bytes.len() + 256, &info.name)?;
        let tensor = info.tensor(bytes)?;
        Ok(Some((info, tensor)))
    }

    /// Whether an operator computed the tensor, or it is an input.
    pub fn is_computed(&self, index: usize) -> bool {
        self.slots.contains_key(&index) || self.dequantised.contains_key(&index)
    }

    /// Whether the file stores the tensor's elements.
    pub fn is_stored(&self, index: usize) -> Result<bool> {
        Ok(!Info::read(self.model, index)?.bytes(self.model)?.is_empty())
    }

    /// A stored tensor; an error that names the operator where it is computed.
    pub fn constant(&mut self, op: &OpIn, input: usize) -> Result<(Info, Tensor)> {
        let index = op.input(input)?;
        let stored = self.stored(index)?;
        stored.ok_or_else(|| op.unsupported(format!("input {input} must be a constant")))
    }

    /// The elements of a small integer tensor that is stored, or computed from shapes.
    pub fn ints(&mut self, op: &OpIn, input: usize) -> Result<Vec<i64>> {
        let index = op.input(input)?;
        if let Some(ints) = self.known_ints(index)? {
            return Ok(ints);
        }
        Err(op.unsupported(format!("input {input} must be a constant")))
    }

    /// As [`Importer::ints`], where it is known.
    pub fn known_ints(&mut self, index: usize) -> Result<Option<Vec<i64>>> {
        if let Some(ints) = self.slots.get(&index).and_then(|slot| slot.ints.clone()) {
            return Ok(Some(ints));
        }
        match self.stored(index)? {
            Some((_, t)) if matches!(t.dtype(), DType::I32 | DType::I64) => Ok(Some(t.to_i64()?)),
            _ => Ok(None),
        }
    }

    /// Tensor `index` is this vector, which no value of the graph holds.
    pub fn set_ints(&mut self, index: usize, ints: Vec<i64>) {
        self.slot(index).ints = Some(ints);
    }

    /// The canonical value: bytes of a quantised tensor, in NCHW order for rank 4.
    pub fn canonical(&mut self, index: usize) -> Result<ValueId> {
        if let Some(id) = self.slots.get(&index).and_then(|slot| slot.canonical) {
            return Ok(id);
        }
        if let Some(ints) = self.slots.get(&index).and_then(|slot| slot.ints.clone()) {
            let info = Info::read(self.model, index)?;
            let id =
                self.add_constant(&info.name, integers(info.dtype, info.shape.clone(), &ints)?)?;
            self.slot(index).canonical = Some(id);
            return Ok(id);
        }
        if let Some(source) = self.dequantised.get(&index).copied() {
            let id = self.operand(source)?;
            self.slot(index).canonical = Some(id);
            return Ok(id);
        }
        let Some((info, mut tensor)) = self.stored(index)? else {
            let name = Info::read(self.model, index)?.name;
            let problem = "is read, but neither stored nor computed before".to_string();
            return Err(GraphError::Malformed { place: format!("tensor '{name}'"), problem });
        };
        if tensor.rank() == 4 {
            tensor = permuted(&tensor, &TO_NCHW)?;
        }
        let id = self.add_constant(&info.name, tensor)?;
        self.slots.insert(index, computed(&info, id));
        Ok(id)
    }

    /// The canonical value as what to compute with: dequantised where it is quantised.
    pub fn operand(&mut self, index: usize) -> Result<ValueId> {
        let canonical = self.canonical(index)?;
        let slot = self.slot(index);
        if let Some(float) = slot.float {
            return Ok(float);
        }
        let Some(quant) = slot.quant.clone() else { return Ok(canonical) };
        let rank = self.graph.value(canonical).shape.rank();
        let axis = if rank == 4 { TO_NHWC[quant.axis.min(3)] } else { quant.axis };
        let [scale, zero] = self.params(index)?;
        let name = format!("{}.dequantize", self.graph.value(canonical).name);
        let axis = if quant.scales.len() == 1 { 0 } else { axis };
        let inputs = [canonical, scale, zero];
        let float = self.push(&name, Op::Dequantize { axis }, &inputs)?;
        self.slot(index).float = Some(float);
        Ok(float)
    }

    /// As [`Importer::operand`], in the file's order.
    pub fn native(&mut self, index: usize) -> Result<ValueId> {
        let operand = self.operand(index)?;
        if let Some(native) = self.slot(index).native {
            return Ok(native);
        }
        let native =
            if self.rank(operand) == 4 { self.reordered(operand, &TO_NHWC)? } else { operand };
        self.slot(index).native = Some(native);
        Ok(native)
    }

    /// Scale and zero point of a quantised tensor as constants.
    fn params(&mut self, index: usize) -> Result<[ValueId; 2]> {
        if let Some(params) = self.slot(index).params {
            return Ok(params);
        }
        let info = Info::read(self.model, index)?;
        let missing = || GraphError::Malformed {
            place: format!("tensor '{}'", info.name),
            problem: "is 8-bit but has no scale".into(),
        };
        let quant = info.quant.clone().ok_or_else(missing)?;
        let shape = if quant.scales.len() == 1 { vec![] } else { vec![quant.scales.len()] };
        let scale = Tensor::new(shape.clone(), quant.scales.clone())?;
        let zero = integers(info.dtype, shape, &quant.zeros)?;
        let scale = self.add_constant(&format!("{}.scale", info.name), scale)?;
        let zero = self.add_constant(&format!("{}.zero_point", info.name), zero)?;
        self.slot(index).params = Some([scale, zero]);
        Ok([scale, zero])
    }

    /// Adds a stored tensor under `name`, or a name that starts so.
    pub fn add_constant(&mut self, name: &str, tensor: Tensor) -> Result<ValueId> {
        self.spend(tensor.bytes() + 256 + name.len(), name)?;
        self.room(name)?;
        let name = self.names.fresh(name);
        Ok(self.graph.add_constant(name, tensor))
    }

    /// Appends a node under `name`, or a name that starts so; its first result.
    pub fn push(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        Ok(self.push_all(name, op, inputs)?[0])
    }

    /// As [`Importer::push`]; all results.
    pub fn push_all(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>> {
        self.room(name)?;
        let inputs = inputs.iter().map(|&id| Some(id)).collect();
        let name = self.names.fresh(name);
        let mut node = Node { name: name.clone(), op, inputs, outputs: vec![] };
        let typed = crate::infer::infer_node(&self.graph, &node)?;
        for (index, (dtype, shape)) in typed.into_iter().enumerate() {
            let name = if index == 0 { name.clone() } else { self.names.fresh(&name) };
            node.outputs.push(self.graph.add_value(name, dtype, shape));
        }
        let outputs = node.outputs.clone();
        if outputs.is_empty() {
            return Err(node.error("has no output"));
        }
        self.graph.nodes.push(node);
        Ok(outputs)
    }

    fn room(&self, place: &str) -> Result<()> {
        let limits = [
            ("number of nodes", self.graph.nodes.len(), MAX_NODES),
            ("number of values", self.graph.values().len(), MAX_VALUES),
        ];
        match limits.into_iter().find(|(_, value, limit)| value >= limit) {
            Some((what, value, limit)) => Err(GraphError::Limit {
                place: place.into(),
                what,
                value: value as u64 + 1,
                limit: limit as u64,
            }),
            None => Ok(()),
        }
    }

    pub fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).shape.rank()
    }

    pub fn dims(&self, id: ValueId) -> Vec<Dim> {
        self.graph.value(id).shape.dims().to_vec()
    }

    /// `value` with dimension i what dimension `perm[i]` is: the value itself where nothing moves,
    /// a Reshape where the order of elements stays.
    pub fn reordered(&mut self, value: ValueId, perm: &[usize]) -> Result<ValueId> {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return Ok(value);
        }
        let dims = self.dims(value);
        let name = format!("{}.transpose", self.graph.value(value).name);
        let one = Dim::Fixed(1);
        let moved: Vec<usize> = perm.iter().copied().filter(|&p| dims[p] != one).collect();
        let fixed = |(i, &p): (usize, &usize)| match dims[p].fixed() {
            Some(n) => Some(ReshapeDim::Fixed(n)),
            None => (i == p).then_some(ReshapeDim::Copy),
        };
        let shape: Option<Vec<ReshapeDim>> = perm.iter().enumerate().map(fixed).collect();
        match shape {
            Some(dims) if moved.is_sorted() => self.push(&name, Op::Reshape { dims }, &[value]),
            _ => self.push(&name, Op::Transpose { perm: perm.to_vec() }, &[value]),
        }
    }

    /// Tensor `index` is the canonical value `id`, quantised here where the file says so.
    pub fn set(&mut self, op: &OpIn, index: usize, id: ValueId) -> Result<()> {
        self.set_with(op, index, id, None)
    }

    /// Tensor `index` is `id`, which has the file's order of dimensions.
    pub fn set_native(&mut self, op: &OpIn, index: usize, id: ValueId) -> Result<()> {
        if self.rank(id) != 4 {
            return self.set(op, index, id);
        }
        let canonical = self.reordered(id, &TO_NCHW)?;
        self.set_with(op, index, canonical, Some(id))
    }

    fn set_with(
        &mut self,
        op: &OpIn,
        index: usize,
        id: ValueId,
        native: Option<ValueId>,
    ) -> Result<()> {
        let info = Info::read(self.model, index)?;
        if self.slots.contains_key(&index) {
            return Err(op.malformed(format!("'{}' is computed twice", info.name)));
        }
        let found = self.graph.value(id).dtype;
        if info.quant.is_some() && info.dtype.is_quantised() && found == DType::F32 {
            if info.quant.as_ref().is_some_and(|q| q.scales.len() != 1 || q.scales[0] <= 0.0) {
                return Err(op.malformed("its result needs one positive scale"));
            }
            self.check_shape(op, &info, id)?;
            let [scale, zero] = self.params(index)?;
            let bytes = self.push(&info.name, Op::Quantize { axis: 0 }, &[id, scale, zero])?;
            let params = Some([scale, zero]);
            self.slots.insert(index, Slot { params, ..computed(&info, bytes) });
            return Ok(());
        }
        if found != info.dtype {
            let declared = info.dtype;
            return Err(op.malformed(format!("its result is {declared}, computed is {found}")));
        }
        self.check_shape(op, &info, id)?;
        self.adopt(&info.name, id);
        let quant = info.quant.filter(|_| found.is_quantised());
        let slot = Slot { quant, canonical: Some(id), native, ..Slot::default() };
        self.slots.insert(index, slot);
        Ok(())
    }

    /// Gives the result of the last node the name of its tensor.
    fn adopt(&mut self, name: &str, id: ValueId) {
        let Some(node) = self.graph.nodes.last_mut().filter(|n| n.outputs == [id]) else { return };
        // Other values of the last node's name are derived from the tensor's own.
        if node.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')) {
            let name = self.names.fresh(name);
            node.name = name.clone();
            self.graph.value_mut(id).name = name;
        }
    }

    /// The file's shapes are redundant; a difference shows a file that was read wrongly.
    fn check_shape(&self, op: &OpIn, info: &Info, id: ValueId) -> Result<()> {
        let found = &self.graph.value(id).shape;
        let mut dims = info.shape.clone();
        if dims.len() == 4 {
            dims = TO_NCHW.iter().map(|&i| info.shape[i]).collect();
        }
        // Converters leave the shape empty where they do not know it.
        let unknown = dims.is_empty() || info.dims.iter().any(|d| d.fixed().is_none());
        let fits = found.rank() == dims.len()
            && found.dims().iter().zip(&dims).all(|(f, &d)| f.fixed().is_none_or(|f| f == d));
        if unknown || fits {
            return Ok(());
        }
        let declared = Shape::fixed(&dims);
        Err(op.malformed(format!("its result is declared {declared}, computed is {found}")))
    }
}

fn computed(info: &Info, id: ValueId) -> Slot {
    let quant =
        info.quant.clone().filter(|_| info.dtype.is_quantised() || info.dtype == DType::I32);
    Slot { quant, canonical: Some(id), ..Slot::default() }
}

/// Names in use, for nodes and values alike.
#[derive(Default)]
struct Names {
    taken: HashMap<String, usize>,
}

impl Names {
    /// `stem`, or `stem` with a number where that is taken.
    fn fresh(&mut self, stem: &str) -> String {
        let Some(mut count) = self.taken.get(stem).copied() else {
            self.taken.insert(stem.to_string(), 1);
            return stem.to_string();
        };
        loop {
            let name = format!("{stem}_{count}");
            count += 1;
            if !self.taken.contains_key(&name) {
                self.taken.insert(stem.to_string(), count);
                self.taken.insert(name.clone(), 1);
                return name;
            }
        }
    }
}
