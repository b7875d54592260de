//! What a request holds, into rows of a model's inputs.
//!
//! An input comes in one of three forms: numbers of the model's own type and shape (or halves of
//! floats); a tensor UINT8 `[1, N]` that a codec beside the model decodes; or BYTES, a JPEG or PNG
//! file each, where the model takes pictures. What costs time is done by the worker, so that a
//! request that is refused or cancelled costs nothing.

use bytes::Bytes;
use edgecut_collab::codec::Codec;
use edgecut_graph::DType;
use edgecut_oip::{Datatype, InferRequest, WireTensor};
use edgecut_train::data::transform::Transform;
use edgecut_train::data::{Image, Preprocess};

use super::plans::{Plans, PortShape};
use crate::front::{Kind, Refusal};

/// Most rows of a request.
const MAX_ROWS: usize = 4096;

/// Inputs of a request in the order of the model's, checked as far as that is cheap.
#[derive(Debug)]
pub struct Inputs {
    rows: usize,
    given: Vec<Given>,
}

#[derive(Debug)]
enum Given {
    /// Little-endian bytes of the model's own type.
    Raw(Bytes),
    /// Halves, which become float32.
    Halves(WireTensor),
    /// A stream of the codec.
    Coded(Bytes),
    /// Files of pictures, one a row.
    Pictures(Vec<Bytes>),
}

impl Inputs {
    /// Rows of the request.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the inputs of a request apart.
    ///
    /// # Errors
    /// Where one is missing, unknown, or of a form that the model does not take.
    pub(super) fn of(
        request: &InferRequest,
        plans: &Plans,
        codecs: &[Option<Codec>],
        pictures: bool,
    ) -> Result<Inputs, Refusal> {
        let known =
            |tensor: &&WireTensor| plans.inputs().iter().any(|port| port.name == tensor.name());
        if let Some(other) = request.inputs.iter().find(|tensor| !known(tensor)) {
            let names: Vec<&str> = plans.inputs().iter().map(|port| port.name.as_str()).collect();
            return Err(invalid(format!(
                "no input '{}': the model's are {}",
                other.name(),
                names.join(", ")
            )));
        }
        let (mut rows, mut given) = (None, Vec::with_capacity(plans.inputs().len()));
        for (port, codec) in plans.inputs().iter().zip(codecs) {
            let tensor = request.inputs.iter().find(|tensor| tensor.name() == port.name);
            let tensor =
                tensor.ok_or_else(|| invalid(format!("input '{}' is missing", port.name)))?;
            let (has, form) = form(tensor, port, codec.is_some(), pictures)?;
            if *rows.get_or_insert(has) != has {
                return Err(invalid(format!(
                    "input '{}' has {has} rows, another {}",
                    port.name,
                    rows.unwrap_or(0)
                )));
            }
            given.push(form);
        }
        let rows = rows.unwrap_or(1);
        if rows == 0 || rows > MAX_ROWS {
            return Err(invalid(format!("{rows} rows: allowed are 1 to {MAX_ROWS}")));
        }
        Ok(Inputs { rows, given })
    }

    /// Does what costs time: bytes of all rows of each input, in the model's own type.
    pub(super) fn decode(
        self,
        plans: &Plans,
        codecs: &[Option<Codec>],
        pictures: Option<&Preprocess>,
    ) -> Result<Vec<Bytes>, Refusal> {
        let decoded = self.given.into_iter().zip(plans.inputs().iter().zip(codecs));
        decoded.map(|(given, (port, codec))| given.decode(port, codec.as_ref(), pictures)).collect()
    }
}

fn invalid(problem: String) -> Refusal {
    Refusal::new(Kind::Invalid, problem)
}

/// Rows and form of an input.
fn form(
    tensor: &WireTensor,
    port: &PortShape,
    coded: bool,
    pictures: bool,
) -> Result<(usize, Given), Refusal> {
    let (shape, datatype) = (tensor.shape(), tensor.datatype());
    let rows = if port.open { shape.first().copied().unwrap_or(0) } else { 1 };
    if shape == port.row_shape(rows) {
        if datatype == Datatype::from(port.dtype) {
            return Ok((rows, Given::Raw(tensor.raw().clone())));
        }
        if port.dtype == DType::F32 && matches!(datatype, Datatype::Fp16 | Datatype::Bf16) {
            return Ok((rows, Given::Halves(tensor.clone())));
        }
    }
    if coded && datatype == Datatype::Uint8 && shape.len() == 2 && shape[0] == 1 {
        return Ok((1, Given::Coded(tensor.raw().clone())));
    }
    if pictures && datatype == Datatype::Bytes {
        let files = tensor.elements()?;
        let vector = shape.len() == 1 || (shape.len() == 2 && shape[1] == 1);
        let fits = port.open || (files.len() == 1 && port.extents.first() == Some(&1));
        if vector && fits {
            return Ok((files.len(), Given::Pictures(files)));
        }
    }
    let mut takes = format!("{} {:?}", Datatype::from(port.dtype), port.declared());
    if coded {
        takes += ", or UINT8 [1, N] of its codec";
    }
    if pictures {
        takes += ", or BYTES with a JPEG or PNG file each";
    }
    Err(invalid(format!("input '{}': {datatype} {shape:?}, the model takes {takes}", port.name)))
}

impl Given {
    fn decode(
        self,
        port: &PortShape,
        codec: Option<&Codec>,
        pictures: Option<&Preprocess>,
    ) -> Result<Bytes, Refusal> {
        let wrong =
            |problem: &dyn std::fmt::Display| invalid(format!("input '{}': {problem}", port.name));
        match self {
            Given::Raw(bytes) => Ok(bytes),
            Given::Halves(tensor) => Ok(tensor.to_tensor()?.to_le_bytes().into()),
            Given::Coded(stream) => {
                let codec = codec.ok_or_else(|| wrong(&"has no codec"))?;
                let decoded = codec.decode(&stream).map_err(|e| wrong(&e))?;
                Ok(decoded.tensor.to_le_bytes().into())
            }
            Given::Pictures(files) => {
                let description = pictures.ok_or_else(|| wrong(&"takes no pictures"))?;
                let mut transform = Transform::new(description).map_err(|e| wrong(&e))?;
                let mut row = vec![0f32; port.row_bytes() / 4];
                let mut bytes = Vec::with_capacity(files.len() * port.row_bytes());
                for file in &files {
                    let image = Image::from_bytes(file).map_err(|e| wrong(&e))?;
                    transform.apply_nchw(&image, &mut row).map_err(|e| wrong(&e))?;
                    bytes.extend(row.iter().flat_map(|v| v.to_le_bytes()));
                }
                Ok(bytes.into())
            }
        }
    }
}
