//! Tensors of a file: type, shape, quantisation, stored elements.

use std::sync::Arc;

use super::flat::Numbers;
use super::schema::{self, Model, kind};
use crate::interpret::run_node;
use crate::limits::MAX_RANK;
use crate::{
    Cut, DType, Data, Dim, Graph, GraphError, Node, Op, Result, Shape, Tensor, checked_len, float16,
};

/// Scales and zero points, as the file stores them.
#[derive(Clone, Debug)]
pub(super) struct Quant {
    /// One, or one for each extent of `axis`.
    pub scales: Vec<f32>,
    /// As many as scales.
    pub zeros: Vec<i64>,
    /// Dimension in the file's order.
    pub axis: usize,
}

/// What a file declares about a tensor.
pub(super) struct Info {
    pub name: String,
    pub kind: u8,
    pub dtype: DType,
    /// In the file's order.
    pub shape: Vec<usize>,
    /// As `shape`, with a symbol for the batch where the file leaves it open.
    pub dims: Vec<Dim>,
    pub quant: Option<Arc<Quant>>,
    buffer: usize,
}

impl Info {
    /// The tensor at `index`.
    pub fn read(model: &Model, index: usize) -> Result<Info> {
        let table = model.tensors.get(index)?;
        let mut name = table.string(3)?.into_owned();
        if name.is_empty() {
            name = format!("tensor_{index}");
        }
        let place = format!("tensor '{name}'");
        let malformed = |problem: String| GraphError::Malformed { place: place.clone(), problem };
        let kind = table.u8(1)?;
        let dtype = schema::dtype(kind).ok_or_else(|| {
            let name = schema::kind_name(kind);
            malformed(format!("has element type {name}, which is not supported"))
        })?;
        if table.table(6, "SparsityParameters")?.is_some() {
            return Err(malformed("is stored sparse, which is not supported".into()));
        }
        let extents = |field| -> Result<Vec<i32>> {
            let numbers = table.numbers(field, 4)?;
            if numbers.len() > MAX_RANK {
                return Err(malformed(format!("has more than {MAX_RANK} dimensions")));
            }
            Ok(numbers.iter(i32::from_le_bytes).collect())
        };
        let shape = extents(0)?;
        let negative = || malformed(format!("has the shape {shape:?}"));
        let shape: Vec<usize> = shape
            .iter()
            .map(|&d| usize::try_from(d).map_err(|_| negative()))
            .collect::<Result<_>>()?;
        checked_len(&shape, &place)?;
        let mut dims = Shape::fixed(&shape).dims().to_vec();
        for (i, dim) in extents(7)?.into_iter().enumerate().filter(|&(_, d)| d < 0) {
            match dims.get_mut(i) {
                Some(extent) if i == 0 => *extent = Dim::from("batch"),
                // The static shape is what the model was converted for.
                _ if shape.get(i).is_some_and(|&d| d > 1) => {}
                _ => {
                    let problem = format!(
                        "leaves dimension {i} open ({dim}): convert the model \
                                           with fixed height and width"
                    );
                    return Err(malformed(problem));
                }
            }
        }
        let quant = read_quant(&table, dtype, shape.len()).map_err(malformed_of(&place))?;
        let buffer = table.u32(2)? as usize;
        Ok(Info { name, kind, dtype, shape, dims, quant: quant.map(Arc::new), buffer })
    }

    /// The stored bytes; empty where the tensor is computed.
    pub fn bytes<'a>(&self, model: &Model<'a>) -> Result<&'a [u8]> {
        // Buffer 0 is empty by convention; files without any buffer exist, too.
        if self.buffer == 0 { Ok(&[]) } else { model.buffer(self.buffer) }
    }

    /// The stored elements in the file's order.
    pub fn tensor(&self, bytes: &[u8]) -> Result<Tensor> {
        let count = checked_len(&self.shape, &self.name)?;
        if self.kind == kind::INT4 && bytes.len() == count.div_ceil(2) {
            // Shifted up and down again to spread the sign.
            let halves = bytes.iter().flat_map(|&b| [(b << 4) as i8 >> 4, b as i8 >> 4]);
            return Tensor::new(self.shape.clone(), halves.take(count).collect::<Vec<i8>>());
        }
        let size = if self.kind == kind::FLOAT16 { 2 } else { self.dtype.bytes() };
        if count.checked_mul(size) != Some(bytes.len()) {
            return Err(GraphError::Malformed {
                place: format!("tensor '{}'", self.name),
                problem: format!(
                    "shape {:?} needs {count} elements of {size} bytes, its buffer has {} bytes",
                    self.shape,
                    bytes.len()
                ),
            });
        }
        let numbers = Numbers::new(bytes, size);
        let data: Data = match (self.kind, self.dtype) {
            (kind::FLOAT16, _) => {
                let values = numbers.iter(|b| float16::half(u16::from_le_bytes(b)));
                Data::F32(values.collect())
            }
            (_, DType::F32) => Data::F32(numbers.iter(f32::from_le_bytes).collect()),
            (_, DType::I32) => Data::I32(numbers.iter(i32::from_le_bytes).collect()),
            (_, DType::I64) => Data::I64(numbers.iter(i64::from_le_bytes).collect()),
            (_, DType::U8) => Data::U8(bytes.into()),
            (_, DType::I8) => Data::I8(numbers.iter(i8::from_le_bytes).collect()),
            (_, DType::Bool) => Data::Bool(bytes.iter().map(|&b| b != 0).collect()),
        };
        Tensor::new(self.shape.clone(), data)
    }
}

fn malformed_of(place: &str) -> impl Fn(GraphError) -> GraphError {
    let place = place.to_string();
    move |error| match error {
        GraphError::Malformed { problem, .. } => {
            GraphError::Malformed { place: place.clone(), problem }
        }
        other => other,
    }
}

fn read_quant(table: &super::flat::Table, dtype: DType, rank: usize) -> Result<Option<Quant>> {
    let malformed = |problem: String| GraphError::Malformed { place: String::new(), problem };
    let Some(params) = table.table(4, "QuantizationParameters")? else { return Ok(None) };
    let scales = params.numbers(2, 4)?;
    let range = match dtype {
        DType::U8 => 0..=255,
        DType::I8 => -128..=127,
        DType::I32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
        // Ranges of float tensors are notes of the trainer.
        _ => return Ok(None),
    };
    if scales.len() == 0 {
        return Ok(None);
    }
    let scales: Vec<f32> = scales.iter(f32::from_le_bytes).collect();
    let mut zeros: Vec<i64> = params.numbers(3, 8)?.iter(i64::from_le_bytes).collect();
    if zeros.len() <= 1 {
        zeros = vec![zeros.first().copied().unwrap_or(0); scales.len()];
    }
    if zeros.len() != scales.len() {
        return Err(malformed(format!("has {} scales, {} zero points", scales.len(), zeros.len())));
    }
    if let Some(bad) = scales.iter().find(|s| !s.is_finite() || **s < 0.0) {
        return Err(malformed(format!("has the scale {bad}")));
    }
    if let Some(bad) = zeros.iter().find(|z| !range.contains(*z)) {
        return Err(malformed(format!("has the zero point {bad}, outside {dtype}")));
    }
    let axis = usize::try_from(params.i32(6, 0)?).ok();
    match axis.filter(|&a| scales.len() == 1 || a < rank) {
        Some(axis) => Ok(Some(Quant { scales, zeros, axis })),
        None => Err(malformed("has scales for a dimension that it lacks".into())),
    }
}

/// Integers of a type as a tensor; they must fit it.
pub(super) fn integers(dtype: DType, shape: Vec<usize>, values: &[i64]) -> Result<Tensor> {
    let data: Data = match dtype {
        DType::U8 => values.iter().map(|&v| v as u8).collect::<Vec<_>>().into(),
        DType::I8 => values.iter().map(|&v| v as i8).collect::<Vec<_>>().into(),
        DType::I32 => values.iter().map(|&v| v as i32).collect::<Vec<_>>().into(),
        _ => values.to_vec().into(),
    };
    Tensor::new(shape, data)
}

/// A part of `tensor` along one dimension.
pub(super) fn cut(tensor: &Tensor, cut: Cut) -> Result<Tensor> {
    apply(Op::Slice { cuts: vec![cut] }, tensor)
}

/// `tensor` with its dimensions permuted: dimension i of the result is `perm[i]` of `tensor`.
pub(super) fn permuted(tensor: &Tensor, perm: &[usize]) -> Result<Tensor> {
    apply(Op::Transpose { perm: perm.to_vec() }, tensor)
}

fn apply(op: Op, tensor: &Tensor) -> Result<Tensor> {
    let node = Node { name: "constant".into(), op, inputs: vec![], outputs: vec![] };
    let mut results = run_node(&Graph::default(), &node, &[Some(tensor)])?;
    results.pop().ok_or_else(|| node.error("has no result"))
}
