//! The file under construction: tensors, operators and buffers, and how the schema lays them out.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::flat::{Field, Table, finish};
use super::types::takes;
use super::versions::version;
use crate::limits::MAX_FILE_BYTES;
use crate::tflite::schema::{IDENTIFIER, VERSION, builtin_code, kind};
use crate::tflite::tensors::Quant;
use crate::{DType, Data, Dim, GraphError, Result, Tensor};

/// A tensor of the file.
pub(super) struct FileTensor {
    pub name: String,
    pub dtype: DType,
    /// In the file's order; a symbol is an extent that is open.
    pub dims: Vec<Dim>,
    /// Scales and zero points; the axis counts dimensions of the file.
    pub quant: Option<Arc<Quant>>,
    buffer: u32,
}

/// Options of an operator: the number of the union's member, and its table.
pub(super) type Options = (u8, Table);

struct Call {
    op: &'static str,
    code: usize,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
    options: Option<Options>,
}

/// Tensors and operators, in the order in which they were added.
#[derive(Default)]
pub(super) struct File {
    pub tensors: Vec<FileTensor>,
    calls: Vec<Call>,
    /// Operator codes with versions.
    codes: Vec<(i32, i32)>,
    buffers: Vec<Vec<u8>>,
    names: HashSet<String>,
    /// Vectors of int32 that exist already: axes, shapes, permutations.
    vectors: HashMap<(Vec<usize>, Vec<i32>), usize>,
}

impl File {
    /// A tensor that is computed, or an input.
    pub fn tensor(
        &mut self,
        name: &str,
        dtype: DType,
        dims: Vec<Dim>,
        quant: Option<Arc<Quant>>,
    ) -> usize {
        let name = self.fresh(name);
        self.tensors.push(FileTensor { name, dtype, dims, quant, buffer: 0 });
        self.tensors.len() - 1
    }

    /// A stored tensor.
    pub fn constant(&mut self, name: &str, tensor: &Tensor, quant: Option<Arc<Quant>>) -> usize {
        let dims = tensor.shape().iter().map(|&d| d.into()).collect();
        let index = self.tensor(name, tensor.dtype(), dims, quant);
        self.buffers.push(bytes(tensor));
        // Buffer 0 is the empty one of computed tensors.
        self.tensors[index].buffer = self.buffers.len() as u32;
        index
    }

    /// A stored int32 tensor; equal ones are stored once.
    pub fn ints(&mut self, name: &str, shape: &[usize], values: &[i32]) -> Result<usize> {
        let key = (shape.to_vec(), values.to_vec());
        if let Some(&index) = self.vectors.get(&key) {
            return Ok(index);
        }
        let tensor = Tensor::new(shape, values.to_vec())?;
        let index = self.constant(name, &tensor, None);
        self.vectors.insert(key, index);
        Ok(index)
    }

    /// Gives tensor `index` this name; another tensor that has it gets its old one.
    pub fn rename(&mut self, index: usize, name: &str) {
        if self.tensors[index].name == name {
            return;
        }
        let old = std::mem::replace(&mut self.tensors[index].name, name.to_string());
        match self.tensors.iter().position(|t| t.name == name).filter(|&other| other != index) {
            Some(other) => self.tensors[other].name = old,
            None => _ = self.names.insert(name.to_string()),
        }
    }

    /// Appends an operator. `least` is the lowest version that has what its options ask for.
    pub fn call(
        &mut self,
        op: &'static str,
        inputs: &[Option<usize>],
        outputs: &[usize],
        options: Option<Options>,
        least: i32,
    ) {
        let of = |index: &Option<usize>| index.map(|index| &self.tensors[index]);
        let seen: Vec<Option<&FileTensor>> = inputs.iter().map(of).collect();
        let code = (builtin_code(op), version(op, &seen, &self.tensors[outputs[0]]).max(least));
        let known = self.codes.iter().position(|c| *c == code);
        let code = known.unwrap_or_else(|| {
            self.codes.push(code);
            self.codes.len() - 1
        });
        let inputs = inputs.iter().map(|i| i.map_or(-1, |i| i as i32)).collect();
        let outputs = outputs.iter().map(|&o| o as i32).collect();
        self.calls.push(Call { op, code, inputs, outputs, options });
    }

    /// How many operators there are.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    /// The first operator from number `first` on that does not take the type of its input.
    pub fn mistyped(&self, first: usize) -> Option<(&'static str, DType)> {
        self.calls[first..].iter().find_map(|call| {
            // A condition or an output shape comes first in some.
            let data = if call.op == "SELECT_V2" || call.op == "TRANSPOSE_CONV" { 2 } else { 0 };
            let index = usize::try_from(*call.inputs.get(data)?).ok()?;
            let tensor = self.tensors.get(index)?;
            let plain = tensor.quant.is_none() && !takes(call.op, tensor.dtype);
            plain.then_some((call.op, tensor.dtype))
        })
    }

    fn fresh(&mut self, stem: &str) -> String {
        let mut name = stem.to_string();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            name = format!("{stem}_{number}");
            number += 1;
        }
        name
    }

    /// The bytes of the file. Fails beyond 2 GiB, the reach of the format's offsets.
    pub fn finish(
        mut self,
        name: &str,
        inputs: &[usize],
        outputs: &[usize],
        metadata: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>> {
        let mut notes = vec![];
        for (key, value) in metadata {
            self.buffers.push(value.clone().into_bytes());
            notes.push(Table::default().with(0, &key[..]).with(1, self.buffers.len() as u32));
        }
        let stored: usize = self.buffers.iter().map(|b| b.len() + 64).sum();
        // Generous: a tensor or operator takes about 200 bytes.
        let size = (stored + 512 * (self.tensors.len() + self.calls.len())) as u64;
        if size >= MAX_FILE_BYTES {
            let (what, limit) = ("size in bytes", MAX_FILE_BYTES);
            return Err(GraphError::Limit {
                place: format!("model '{name}'"),
                what,
                value: size,
                limit,
            });
        }
        let indices = |list: &[usize]| list.iter().map(|&i| i as i32).collect::<Vec<i32>>();
        let subgraph = Table::default()
            .with(0, self.tensors.iter().map(tensor).collect::<Vec<_>>())
            .with(1, &indices(inputs)[..])
            .with(2, &indices(outputs)[..])
            .with(3, self.calls.into_iter().map(call).collect::<Vec<_>>())
            .with(4, name);
        let mut model = Table::default()
            .with(0, VERSION)
            .with(1, self.codes.iter().map(code).collect::<Vec<_>>())
            .with(2, vec![subgraph])
            .with(3, concat!("edgecut ", env!("CARGO_PKG_VERSION")))
            .with(4, buffers(self.buffers));
        if !notes.is_empty() {
            model = model.with(6, notes);
        }
        Ok(finish(model, IDENTIFIER))
    }
}

fn code(&(code, version): &(i32, i32)) -> Table {
    // Readers from before 2020 know codes up to 126 only, in one byte.
    Table::default().with(0, code.min(127) as u8).with(2, version).with(3, code)
}

fn call(call: Call) -> Table {
    let table = Table::default()
        .with(0, call.code as u32)
        .with(1, &call.inputs[..])
        .with(2, &call.outputs[..]);
    match call.options {
        Some((member, options)) => table.with(3, member).with(4, Field::Table(options)),
        None => table,
    }
}

fn tensor(tensor: &FileTensor) -> Table {
    let extent = |d: &Dim, open: i32| d.fixed().map_or(open, |n| n as i32);
    let shape: Vec<i32> = tensor.dims.iter().map(|d| extent(d, 1)).collect();
    let signature: Vec<i32> = tensor.dims.iter().map(|d| extent(d, -1)).collect();
    let mut table = Table::default()
        .with(0, &shape[..])
        .with(1, type_code(tensor.dtype))
        .with(2, tensor.buffer)
        .with(3, &tensor.name[..])
        .with(8, true);
    if let Some(quant) = &tensor.quant {
        let params = Table::default()
            .with(2, &quant.scales[..])
            .with(3, &quant.zeros[..])
            .with(6, quant.axis as i32);
        table = table.with(4, Field::Table(params));
    }
    if signature != shape {
        table = table.with(7, &signature[..]);
    }
    table
}

/// Buffers behind the empty one, each at a multiple of 16 bytes.
fn buffers(buffers: Vec<Vec<u8>>) -> Vec<Table> {
    let stored =
        buffers.into_iter().map(|b| Table::default().with(0, Field::Numbers(b.len(), b, 16)));
    std::iter::once(Table::default()).chain(stored).collect()
}

/// The number of an element type in the schema.
pub(super) fn type_code(dtype: DType) -> u8 {
    match dtype {
        DType::F32 => kind::FLOAT32,
        DType::U8 => kind::UINT8,
        DType::I8 => kind::INT8,
        DType::I32 => kind::INT32,
        DType::I64 => kind::INT64,
        DType::Bool => kind::BOOL,
    }
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    match tensor.data() {
        Data::F32(d) => d.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Data::I32(d) => d.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Data::I64(d) => d.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Data::U8(d) => d.to_vec(),
        Data::I8(d) => d.iter().map(|&v| v as u8).collect(),
        Data::Bool(d) => d.iter().map(|&v| v.into()).collect(),
    }
}
