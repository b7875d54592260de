//! Values of the graph as tensors of the file.
//!
//! A tensor holds a value in some order of its dimensions: dimension i of the tensor is dimension
//! `order[i]` of the value. Images are wanted as NHWC, so `[0, 2, 3, 1]`; a Transpose of the graph
//! costs nothing, as the same tensor holds its result in another order. A TRANSPOSE is written
//! where an operator needs an order that does not exist yet, a RESHAPE where only dimensions of
//! extent 1 move.
//!
//! A float value that a Dequantize makes exists as 8-bit codes. Operators that work on codes take
//! those; DEQUANTIZE is written when another asks for floats.

use std::sync::Arc;

use super::file::{File, Options};
use super::params::{Params, stored_codes};
use crate::interpret::run_node;
use crate::tflite::tensors::{Quant, permuted};
use crate::{DType, Dim, Graph, GraphError, Node, Op, Result, Tensor, ValueId};

/// A tensor of the file and the order in which it holds a value.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub order: Vec<usize>,
    pub tensor: usize,
}

/// What exists of one value.
#[derive(Clone, Default)]
struct Held {
    /// Tensors of the value's own type.
    plain: Vec<Form>,
    /// Its 8-bit codes, as an index into [`Writer::codes`].
    codes: Option<usize>,
}

/// 8-bit integers with scales and zero points; the axis counts dimensions of the value.
struct Codes {
    name: String,
    dims: Vec<Dim>,
    quant: Arc<Quant>,
    dtype: DType,
    constant: Option<Tensor>,
    forms: Vec<Form>,
}

/// The graph, and the file made of it so far.
pub(super) struct Writer<'a> {
    pub graph: &'a Graph,
    pub file: File,
    /// Parameters of 8-bit values, and the type that holds them.
    pub params: Params,
    /// Node that computes each value.
    pub producers: Vec<Option<usize>>,
    /// Nodes that read each value.
    pub readers: Vec<Vec<usize>>,
    /// Nodes that another one took over.
    pub done: Vec<bool>,
    held: Vec<Held>,
    codes: Vec<Codes>,
}

/// The order in which a value of this rank is wanted: NHWC for images.
pub(super) fn usual(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 2, 3, 1] } else { (0..rank).collect() }
}

/// Dimensions in another order.
pub(super) fn ordered(dims: &[Dim], order: &[usize]) -> Vec<Dim> {
    order.iter().map(|&i| dims[i].clone()).collect()
}

/// A shape as int32, with -1 for an open extent.
pub(super) fn target(node: &Node, dims: &[Dim]) -> Result<Vec<i32>> {
    if dims.iter().filter(|d| d.fixed().is_none()).count() > 1 {
        return Err(node.error("has more than one open dimension, which TFLite cannot reshape"));
    }
    Ok(dims.iter().map(|d| d.fixed().map_or(-1, |n| n as i32)).collect())
}

impl<'a> Writer<'a> {
    pub fn new(graph: &'a Graph) -> Result<Writer<'a>> {
        Ok(Writer {
            graph,
            file: File::default(),
            params: Params::of(graph)?,
            producers: graph.producers(),
            readers: graph.consumers(),
            done: vec![false; graph.nodes.len()],
            held: vec![Held::default(); graph.values().len()],
            codes: vec![],
        })
    }

    pub fn dims(&self, id: ValueId) -> Vec<Dim> {
        self.graph.value(id).shape.dims().to_vec()
    }

    pub fn rank(&self, id: ValueId) -> usize {
        self.graph.value(id).shape.rank()
    }

    pub fn name(&self, id: ValueId) -> String {
        self.graph.value(id).name.clone()
    }

    /// Appends an operator with one result.
    pub fn emit(
        &mut self,
        op: &'static str,
        inputs: &[usize],
        output: usize,
        options: Option<Options>,
    ) {
        let inputs: Vec<Option<usize>> = inputs.iter().map(|&i| Some(i)).collect();
        self.file.call(op, &inputs, &[output], options, 1);
    }

    /// Whether the value exists as 8-bit codes with one scale.
    pub fn quant(&self, id: ValueId) -> Option<&Arc<Quant>> {
        let codes = &self.codes[self.held[id.index()].codes?];
        (codes.quant.scales.len() == 1).then_some(&codes.quant)
    }

    /// The order in which a value exists, or would be made.
    pub fn order(&self, id: ValueId) -> Vec<usize> {
        let held = &self.held[id.index()];
        let coded = held.codes.map(|set| &self.codes[set].forms[..]).unwrap_or_default();
        let first = held.plain.iter().chain(coded).next();
        first.map_or_else(|| usual(self.rank(id)), |form| form.order.clone())
    }

    /// The stored tensor of a constant, or of int32 behind a Dequantize (a bias).
    pub fn constant(&self, id: ValueId) -> Result<Option<Tensor>> {
        if let Some(tensor) = self.graph.constant(id) {
            return Ok(Some(tensor.clone()));
        }
        let Some(node) = self.producer(id) else { return Ok(None) };
        let is_constant = |i: &ValueId| self.graph.constant(*i).is_some();
        let stored = matches!(node.op, Op::Dequantize { .. })
            && node.inputs.iter().flatten().all(is_constant)
            && self.graph.value(node.input(0)?).dtype == DType::I32;
        if !stored {
            return Ok(None);
        }
        Ok(run_node(self.graph, node, &[])?.pop())
    }

    /// The node that computes a value.
    pub fn producer(&self, id: ValueId) -> Option<&'a Node> {
        self.producers[id.index()].map(|index| &self.graph.nodes[index])
    }

    /// The tensor that holds a value, of its own type, in this order.
    pub fn plain(&mut self, id: ValueId, order: &[usize]) -> Result<usize> {
        if let Some(tensor) = find(&self.held[id.index()].plain, order) {
            return Ok(tensor);
        }
        let (name, dims) = (self.name(id), self.dims(id));
        let tensor = if let Some(set) = self.held[id.index()].codes {
            let codes = self.coded(set, order)?;
            let y = self.file.tensor(&name, DType::F32, ordered(&dims, order), None);
            self.emit("DEQUANTIZE", &[codes], y, None);
            y
        } else if let Some(tensor) = self.constant(id)? {
            self.file.constant(&name, &permuted(&tensor, order)?, None)
        } else {
            let Some(form) = self.held[id.index()].plain.first().cloned() else {
                return Err(GraphError::Malformed {
                    place: format!("value '{name}'"),
                    problem: "is read, but no operator writes it".into(),
                });
            };
            self.reordered(&dims, &form, order)?
        };
        self.hold(id, order, tensor);
        Ok(tensor)
    }

    /// The tensor that holds the codes of a value in this order.
    pub fn codes_of(&mut self, id: ValueId, order: &[usize]) -> Result<usize> {
        let set = self.held[id.index()].codes.ok_or_else(|| GraphError::Malformed {
            place: format!("value '{}'", self.graph.value(id).name),
            problem: "has no 8-bit codes".into(),
        })?;
        self.coded(set, order)
    }

    fn coded(&mut self, set: usize, order: &[usize]) -> Result<usize> {
        let codes = &self.codes[set];
        if let Some(tensor) = find(&codes.forms, order) {
            return Ok(tensor);
        }
        let tensor = match &codes.constant {
            Some(constant) => {
                let axis = order.iter().position(|&d| d == codes.quant.axis).unwrap_or(0);
                let quant = Quant { axis, ..codes.quant.as_ref().clone() };
                let (name, stored) = (codes.name.clone(), permuted(constant, order)?);
                self.file.constant(&name, &stored, Some(Arc::new(quant)))
            }
            None => {
                let (dims, form) = (codes.dims.clone(), codes.forms[0].clone());
                self.reordered(&dims, &form, order)?
            }
        };
        self.codes[set].forms.push(Form { order: order.to_vec(), tensor });
        Ok(tensor)
    }

    /// The tensor in `form`, of a value with these dimensions, moved into another order.
    fn reordered(&mut self, dims: &[Dim], form: &Form, order: &[usize]) -> Result<usize> {
        let from = &self.file.tensors[form.tensor];
        let (name, dtype, quant) = (from.name.clone(), from.dtype, from.quant.clone());
        let to = ordered(dims, order);
        let y = self.file.tensor(&format!("{name}.transpose"), dtype, to.clone(), quant);
        let moves = |order: &[usize]| -> Vec<usize> {
            order.iter().copied().filter(|&d| dims[d] != Dim::Fixed(1)).collect()
        };
        let open = to.iter().filter(|d| d.fixed().is_none()).count();
        if open <= 1 && moves(&form.order) == moves(order) {
            let shape: Vec<i32> = to.iter().map(|d| d.fixed().map_or(-1, |n| n as i32)).collect();
            let shape = self.file.ints(&format!("{name}.shape"), &[shape.len()], &shape)?;
            self.emit("RESHAPE", &[form.tensor, shape], y, None);
        } else {
            let place = |d: &usize| form.order.iter().position(|f| f == d).unwrap_or(0) as i32;
            let perm: Vec<i32> = order.iter().map(place).collect();
            let perm = self.file.ints(&format!("{name}.perm"), &[perm.len()], &perm)?;
            self.emit("TRANSPOSE", &[form.tensor, perm], y, None);
        }
        Ok(y)
    }

    /// `tensor` holds the value in this order.
    pub fn hold(&mut self, id: ValueId, order: &[usize], tensor: usize) {
        self.held[id.index()].plain.push(Form { order: order.to_vec(), tensor });
    }

    /// As [`Writer::hold`], instead of what held it before.
    pub fn rehold(&mut self, id: ValueId, order: &[usize], tensor: usize) {
        self.held[id.index()].plain.clear();
        self.hold(id, order, tensor);
    }

    /// `tensor` holds the codes of the value in this order.
    pub fn hold_codes(&mut self, id: ValueId, order: &[usize], tensor: usize) {
        let from = &self.file.tensors[tensor];
        let Some(quant) = from.quant.clone() else { return self.hold(id, order, tensor) };
        let forms = vec![Form { order: order.to_vec(), tensor }];
        let (name, dtype, dims) = (from.name.clone(), from.dtype, self.dims(id));
        self.codes.push(Codes { name, dims, quant, dtype, constant: None, forms });
        self.held[id.index()].codes = Some(self.codes.len() - 1);
    }

    /// The codes of `of` are those of `id`, too.
    pub fn share_codes(&mut self, id: ValueId, of: ValueId) {
        self.held[id.index()].codes = self.held[of.index()].codes;
    }

    /// `id` is `of` with its dimensions permuted, and exists wherever that does.
    pub fn relabel(&mut self, id: ValueId, of: ValueId, perm: &[usize]) -> Result<()> {
        let held = &self.held[of.index()];
        if held.plain.is_empty() && held.codes.is_none() {
            self.plain(of, &usual(perm.len()))?;
        }
        let place = |d: &usize| perm.iter().position(|p| p == d).unwrap_or(0);
        let moved = |form: &Form| Form {
            order: form.order.iter().map(place).collect(),
            tensor: form.tensor,
        };
        let held = self.held[of.index()].clone();
        self.held[id.index()].plain = held.plain.iter().map(moved).collect();
        let Some(set) = held.codes else { return Ok(()) };
        if self.codes[set].forms.is_empty() {
            self.coded(set, &usual(perm.len()))?;
        }
        let from = &self.codes[set];
        let quant = Quant { axis: place(&from.quant.axis), ..from.quant.as_ref().clone() };
        let codes = Codes {
            name: self.name(id),
            dims: self.dims(id),
            quant: Arc::new(quant),
            dtype: from.dtype,
            constant: None,
            forms: from.forms.iter().map(moved).collect(),
        };
        self.codes.push(codes);
        self.held[id.index()].codes = Some(self.codes.len() - 1);
        Ok(())
    }

    /// Constant 8-bit codes behind the Dequantize `node` become those of its result.
    pub fn hold_constant(&mut self, node: &Node) -> Result<()> {
        let (codes, quant) = stored_codes(self.graph, node, self.params.dtype)?;
        let (id, from) = (node.output(), node.input(0)?);
        let dtype = codes.dtype();
        let (name, dims, forms) = (self.name(from), self.dims(id), vec![]);
        let quant = Arc::new(quant);
        self.codes.push(Codes { name, dims, quant, dtype, constant: Some(codes), forms });
        self.held[id.index()].codes = Some(self.codes.len() - 1);
        Ok(())
    }

    /// The stored codes of a value, in the value's own order, with their parameters.
    pub fn constant_codes(&self, id: ValueId) -> Option<(&Tensor, &Arc<Quant>)> {
        let codes = &self.codes[self.held[id.index()].codes?];
        codes.constant.as_ref().map(|constant| (constant, &codes.quant))
    }
}

fn find(forms: &[Form], order: &[usize]) -> Option<usize> {
    forms.iter().find(|form| form.order == order).map(|form| form.tensor)
}
