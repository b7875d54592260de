//! A model that is served: rows through its plans.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use edgecut_collab::codec::Codec;
use edgecut_graph::{DType, Tensor};
use edgecut_oip::{Datatype, InferRequest, ModelMetadata, TensorMetadata, WireTensor, names};
use edgecut_runtime::{RuntimeError, Session};
use edgecut_train::data::Preprocess;

use super::input::Inputs;
use super::plans::{Plans, PortShape};
use crate::front::{Kind, Refusal};
use crate::schedule::{Estimate, LaneLimits};

/// Outputs of a request: raw bytes of all its rows, in the order of the model's outputs.
pub type Outputs = Vec<Vec<u8>>;

/// A version of a model, ready to run.
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its files, in hexadecimal.
    pub digest: String,
    /// What may wait for it.
    pub limits: LaneLimits,
    /// How long a request may wait that says nothing about it.
    pub timeout: Option<Duration>,
    /// Priority of requests that say nothing about it, from 1.
    pub priority: usize,
    /// Time of a row, what its inputs take to decode included.
    pub estimate: Estimate,
    /// A number that no other model of this process has.
    pub number: u64,
    platform: &'static str,
    plans: Plans,
    codecs: Vec<Option<Codec>>,
    pictures: Option<Preprocess>,
}

impl Model {
    pub(super) fn new(
        name: String,
        version: String,
        digest: String,
        platform: &'static str,
        plans: Plans,
        codecs: Vec<Option<Codec>>,
        pictures: Option<Preprocess>,
        limits: LaneLimits,
        timeout: Option<Duration>,
        priority: usize,
    ) -> Model {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let estimate = Estimate::new(plans.row_time());
        Model {
            name,
            version,
            digest,
            limits,
            timeout,
            priority,
            estimate,
            number,
            platform,
            plans,
            codecs,
            pictures,
        }
    }

    /// What it says of itself; `versions` are all that are served.
    pub fn metadata(&self, versions: Vec<String>) -> ModelMetadata {
        let describe = |ports: &[PortShape]| {
            let described = ports.iter().map(|port| TensorMetadata {
                name: port.name.clone(),
                datatype: Datatype::from(port.dtype).name().into(),
                shape: port.declared(),
            });
            described.collect()
        };
        let mut properties = BTreeMap::from([(names::DIGEST.to_string(), self.digest.clone())]);
        if let Some(pictures) = &self.pictures {
            properties
                .insert("preprocess".into(), serde_json::to_string(pictures).unwrap_or_default());
        }
        for (port, _) in
            self.plans.inputs().iter().zip(&self.codecs).filter(|(_, codec)| codec.is_some())
        {
            properties.insert(format!("codec.{}", port.name), "packed".into());
        }
        ModelMetadata {
            name: self.name.clone(),
            versions,
            platform: self.platform.into(),
            inputs: describe(self.plans.inputs()),
            outputs: describe(self.plans.outputs()),
            properties,
        }
    }

    /// Most rows that are computed together.
    pub fn largest_batch(&self) -> usize {
        self.plans.largest()
    }

    /// Inputs of a request, as far as they can be checked cheaply.
    ///
    /// # Errors
    /// Where they do not fit the model, or the request asks for an output that it has not.
    pub fn inputs(&self, request: &InferRequest) -> Result<Inputs, Refusal> {
        for asked in &request.outputs {
            if !self.plans.outputs().iter().any(|port| port.name == asked.name) {
                let names: Vec<&str> =
                    self.plans.outputs().iter().map(|p| p.name.as_str()).collect();
                let problem =
                    format!("no output '{}': the model's are {}", asked.name, names.join(", "));
                return Err(Refusal::new(Kind::Invalid, problem));
            }
        }
        Inputs::of(request, &self.plans, &self.codecs, self.pictures.is_some())
    }

    /// Computes requests together, on the sessions of a worker. Each is answered or refused on its
    /// own: what one of them holds does not disturb the others.
    pub fn run(&self, requests: Vec<Inputs>, worker: usize) -> Vec<Result<Outputs, Refusal>> {
        let decode = |inputs: Inputs| {
            let rows = inputs.rows();
            Ok((rows, inputs.decode(&self.plans, &self.codecs, self.pictures.as_ref())?))
        };
        let decoded: Vec<Result<(usize, Vec<Bytes>), Refusal>> =
            requests.into_iter().map(decode).collect();
        let mut outputs: Vec<Outputs> =
            decoded.iter().map(|_| vec![Vec::new(); self.plans.outputs().len()]).collect();
        // Which request each row belongs to, and its number there.
        let rows = decoded.iter().enumerate().flat_map(|(request, d)| {
            let count = d.as_ref().map_or(0, |(rows, _)| *rows);
            (0..count).map(move |row| (request, row))
        });
        let rows: Vec<(usize, usize)> = rows.collect();
        let ran = self.run_rows(&rows, &decoded, &mut outputs, worker);
        let ran = ran.map_err(|e| Refusal::new(Kind::Internal, format!("the model failed: {e}")));
        let answer = |(decoded, outputs): (Result<_, Refusal>, Outputs)| {
            decoded?;
            ran.clone().map(|()| outputs)
        };
        decoded.into_iter().zip(outputs).map(answer).collect()
    }

    fn run_rows(
        &self,
        rows: &[(usize, usize)],
        inputs: &[Result<(usize, Vec<Bytes>), Refusal>],
        outputs: &mut [Outputs],
        worker: usize,
    ) -> Result<(), RuntimeError> {
        let mut left = rows;
        while let Some((size, mut session)) = self.plans.session(left.len(), worker) {
            let (piece, rest) = left.split_at(size);
            left = rest;
            for (index, port) in self.plans.inputs().iter().enumerate() {
                let parts = piece.iter().filter_map(|&(request, row)| {
                    let bytes = &inputs[request].as_ref().ok()?.1[index];
                    let size = port.row_bytes();
                    bytes.get(row * size..(row + 1) * size)
                });
                fill(&mut session, index, port, size, parts)?;
            }
            session.run()?;
            for (index, port) in self.plans.outputs().iter().enumerate() {
                read(&session, index, port, piece, outputs)?;
            }
        }
        Ok(())
    }

    /// The outputs of a request as it wants them, all if it names none.
    ///
    /// # Errors
    /// Only where the model made something else than it declares.
    pub fn answer(
        &self,
        request: &[String],
        rows: usize,
        outputs: Outputs,
    ) -> Result<Vec<WireTensor>, Refusal> {
        let wanted = |port: &PortShape| request.is_empty() || request.contains(&port.name);
        let ports = self.plans.outputs().iter().zip(outputs);
        let tensors = ports.filter(|(port, _)| wanted(port)).map(|(port, bytes)| {
            let shape = port.row_shape(rows);
            WireTensor::new(port.name.clone(), port.dtype.into(), shape, bytes)
        });
        tensors
            .collect::<Result<_, edgecut_oip::OipError>>()
            .map_err(|e| Refusal::new(Kind::Internal, e.to_string()))
    }
}

/// Puts rows into an input of a session. Floats and bytes are written where the session reads them.
fn fill<'a>(
    session: &mut Session,
    index: usize,
    port: &PortShape,
    rows: usize,
    parts: impl Iterator<Item = &'a [u8]>,
) -> Result<(), RuntimeError> {
    match port.dtype {
        DType::F32 => {
            let mut to = session.input_mut(index)?.iter_mut();
            for part in parts {
                let values = part.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b));
                values.zip(&mut to).for_each(|(value, to)| *to = value);
            }
        }
        DType::U8 => {
            let mut to = session.input_u8_mut(index)?.iter_mut();
            parts.for_each(|part| part.iter().zip(&mut to).for_each(|(value, to)| *to = *value));
        }
        _ => {
            let bytes: Vec<u8> = parts.flatten().copied().collect();
            let tensor = tensor(port, rows, bytes)?;
            session.set_input(index, &tensor)?;
        }
    }
    Ok(())
}

fn tensor(port: &PortShape, rows: usize, bytes: Vec<u8>) -> Result<Tensor, RuntimeError> {
    let made = WireTensor::new(port.name.clone(), port.dtype.into(), port.row_shape(rows), bytes);
    made.and_then(|wire| wire.to_tensor()).map_err(|e| {
        let problem = e.to_string();
        RuntimeError::from(edgecut_graph::GraphError::Shape { place: port.name.clone(), problem })
    })
}

/// Appends rows of an output of a session to those of their requests.
fn read(
    session: &Session,
    index: usize,
    port: &PortShape,
    piece: &[(usize, usize)],
    outputs: &mut [Outputs],
) -> Result<(), RuntimeError> {
    let mut append = |number: usize, bytes: &mut dyn Iterator<Item = u8>| {
        outputs[piece[number].0][index].extend(bytes);
    };
    if port.dtype == DType::F32 {
        let values = session.output_f32(index)?;
        let each = values.len() / piece.len();
        for number in 0..piece.len() {
            let row = &values[number * each..(number + 1) * each];
            append(number, &mut row.iter().flat_map(|v| v.to_le_bytes()));
        }
        return Ok(());
    }
    let bytes = session.output(index)?.to_le_bytes();
    let each = bytes.len() / piece.len();
    for number in 0..piece.len() {
        append(number, &mut bytes[number * each..(number + 1) * each].iter().copied());
    }
    Ok(())
}
