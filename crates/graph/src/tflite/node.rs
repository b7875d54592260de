//! One operator of a file, as its mapping sees it.

use super::flat::Table;
use super::schema::{self, Model};
use crate::{GraphError, Result};

/// An operator: its type, options and the tensors it reads and writes, by index.
pub(super) struct OpIn<'a> {
    /// Name of the first output.
    pub name: String,
    /// Name of the operator type.
    pub op: String,
    code: i32,
    version: i32,
    options: Option<Table<'a>>,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
}

impl<'a> OpIn<'a> {
    pub fn read(model: &Model<'a>, index: usize) -> Result<OpIn<'a>> {
        let table = model.operators.get(index)?;
        let code = model.codes.get(table.u32(0)? as usize)?;
        let (code, version, custom) = schema::operator_code(&code)?;
        let op = match schema::builtin_name(code) {
            "CUSTOM" => format!("CUSTOM '{custom}'"),
            name => name.to_string(),
        };
        let outputs: Vec<i32> = table.numbers(2, 4)?.iter(i32::from_le_bytes).collect();
        let mut name = format!("{op}_{index}");
        if let Some(&first) = outputs.first() {
            let tensor = model.tensors.get(usize::try_from(first).unwrap_or(usize::MAX))?;
            let given = tensor.string(3)?;
            if !given.is_empty() {
                name = given.into_owned();
            }
        }
        let inputs = table.numbers(1, 4)?.iter(i32::from_le_bytes).collect();
        let options = table.table(4, "BuiltinOptions")?;
        Ok(OpIn { name, op, code, version, options, inputs, outputs })
    }

    /// Number of tensors mentioned.
    pub fn operands(&self) -> usize {
        self.inputs.len() + self.outputs.len()
    }

    /// Number of inputs, absent ones included.
    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Number of outputs.
    pub fn output_count(&self) -> usize {
        self.outputs.len()
    }

    /// The tensor at input `index`.
    pub fn input(&self, index: usize) -> Result<usize> {
        self.optional(index).ok_or_else(|| self.malformed(format!("input {index} is missing")))
    }

    /// The tensor at input `index`, where there is one.
    pub fn optional(&self, index: usize) -> Option<usize> {
        // -1 stands for an input that is left out.
        self.inputs.get(index).and_then(|&t| usize::try_from(t).ok())
    }

    /// The tensor at output `index`.
    pub fn output(&self, index: usize) -> Result<usize> {
        let tensor = self.outputs.get(index).and_then(|&t| usize::try_from(t).ok());
        tensor.ok_or_else(|| self.malformed(format!("output {index} is missing")))
    }

    pub fn malformed(&self, problem: impl Into<String>) -> GraphError {
        let place = format!("operator {} computing '{}'", self.op, self.name);
        GraphError::Malformed { place, problem: problem.into() }
    }

    pub fn unsupported(&self, reason: impl Into<String>) -> GraphError {
        GraphError::Unsupported {
            node: self.name.clone(),
            op: format!("{} (code {})", self.op, self.code),
            domain: "tflite".into(),
            opset: self.version.into(),
            reason: reason.into(),
        }
    }

    /// The option in field `id`, zero where the file omits it.
    pub fn byte(&self, id: usize) -> Result<u8> {
        self.options.map_or(Ok(0), |o| o.u8(id))
    }

    pub fn flag(&self, id: usize) -> Result<bool> {
        Ok(self.byte(id)? != 0)
    }

    pub fn int(&self, id: usize, default: i32) -> Result<i32> {
        self.options.map_or(Ok(default), |o| o.i32(id, default))
    }

    /// An option that counts something: at least 1.
    pub fn count(&self, id: usize, default: i32, what: &str) -> Result<usize> {
        let value = self.int(id, default)?;
        let count = usize::try_from(value).ok().filter(|&v| v > 0);
        count.ok_or_else(|| self.malformed(format!("{what} is {value}, needs at least 1")))
    }

    pub fn float(&self, id: usize) -> Result<f32> {
        self.options.map_or(Ok(0.0), |o| o.f32(id))
    }

    pub fn ints(&self, id: usize) -> Result<Vec<i64>> {
        let Some(options) = self.options else { return Ok(vec![]) };
        Ok(options.numbers(id, 4)?.iter(|b| i32::from_le_bytes(b).into()).take(64).collect())
    }

    /// `axis` counted from the front of `rank` dimensions.
    pub fn axis(&self, axis: i64, rank: usize) -> Result<usize> {
        let from_front = if axis < 0 { axis + rank as i64 } else { axis };
        let valid = usize::try_from(from_front).ok().filter(|&a| a < rank);
        valid.ok_or_else(|| self.malformed(format!("axis {axis} is outside {rank} dimensions")))
    }
}
