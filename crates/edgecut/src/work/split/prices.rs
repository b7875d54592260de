//! What it takes to send each tensor: measured on pictures, or estimated without any.

use std::collections::HashMap;

use edgecut_collab::codec::{Codec, MAX_ELEMENTS};
use edgecut_collab::partition::{Price, Transfer};
use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Graph, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};

use super::pictures::least_ns;
use super::wire::Wire;
use crate::cli::Global;
use crate::errors::Result;
use crate::progress::Counter;

/// Pictures that prices are measured on; the chosen cut is calibrated on more.
pub const PRICED: usize = 4;

/// What a stream takes beside its bits, about.
const HEADER: u64 = 64;

/// Bytes of what is never to be sent: positions and truth values have no codec.
const NEVER: u64 = 1 << 40;

/// Prices by value.
pub struct Prices {
    wire: Wire,
    /// Nanoseconds of a bit of an element before entropy coding, coding and decoding.
    ns_per_bit: [f64; 2],
    measured: HashMap<ValueId, Transfer>,
}

impl Prices {
    /// Without pictures: all bits of all elements, as if no entropy coder took any away. The server is
    /// `factor` times as fast as this machine.
    pub fn estimated(wire: Wire, factor: f64) -> Result<Prices> {
        let Wire::Packed { bits } = wire else { return Ok(Prices::known(wire, [0.0; 2])) };
        let mut rng = Rng::new(1);
        let (c, side) = (16, 28);
        let values: Vec<f32> = (0..c * side * side).map(|_| rng.normal().max(0.0)).collect();
        let sample = [Tensor::new([1, c, side, side], values)?];
        let measured = measure(&Codec::calibrate(&sample, bits)?, &sample, factor)?;
        let all = (sample[0].len() * usize::from(bits)) as f64;
        let ns_per_bit = [measured.encode_ns, measured.decode_ns].map(|ns| ns as f64 / all);
        Ok(Prices::known(wire, ns_per_bit))
    }

    /// As [`Prices::estimated`], with times that were measured before.
    pub fn known(wire: Wire, ns_per_bit: [f64; 2]) -> Prices {
        Prices { wire, ns_per_bit, measured: HashMap::new() }
    }

    /// Nanoseconds of a bit of an element, coding and decoding.
    pub fn ns_per_bit(&self) -> [f64; 2] {
        self.ns_per_bit
    }

    /// Measures the codec of each of `values` on `pictures`, where there is one.
    pub fn measure(
        &mut self,
        graph: &Graph,
        values: &[ValueId],
        pictures: &[Tensor],
        factor: f64,
        global: &Global,
    ) -> Result<()> {
        let Wire::Packed { bits } = self.wire else { return Ok(()) };
        let coded = |id: &ValueId| !graph.inputs.contains(id) && has_codec(graph, *id);
        let values: Vec<ValueId> = values.iter().copied().filter(coded).collect();
        let samples = observe(graph, &values, pictures, &global.pool())?;
        let mut bar = Counter::new(global, "price", values.len() as u64);
        for (index, (id, samples)) in values.iter().zip(&samples).enumerate() {
            bar.set(index as u64, || graph.value(*id).name.clone());
            let codec = Codec::calibrate(samples, bits)?;
            self.measured.insert(*id, measure(&codec, samples, factor)?);
        }
        Ok(())
    }
}

impl Price for Prices {
    fn transfer(&self, graph: &Graph, id: ValueId, bytes: u64) -> Transfer {
        if let Some(measured) = self.measured.get(&id) {
            return *measured;
        }
        let value = graph.value(id);
        let elements = bytes / value.dtype.bytes() as u64;
        if graph.inputs.contains(&id) {
            // A picture has a byte a sample, whatever numbers the model makes of it.
            let picture = value.shape.rank() == 4 && value.dtype == DType::F32;
            return Transfer {
                bytes: if picture { elements } else { bytes },
                ..Transfer::default()
            };
        }
        let Wire::Packed { bits } = self.wire else {
            // Floats become bytes, in a step that costs as good as nothing.
            let bytes = if value.dtype == DType::F32 { elements } else { bytes };
            return Transfer { bytes, ..Transfer::default() };
        };
        if !has_codec(graph, id) {
            return Transfer { bytes: NEVER, ..Transfer::default() };
        }
        let bits = elements * u64::from(bits);
        let [encode_ns, decode_ns] = self.ns_per_bit.map(|ns| (ns * bits as f64) as u64);
        Transfer { bytes: bits.div_ceil(8) + HEADER, encode_ns, decode_ns }
    }
}

/// Whether values of this type and size can be coded.
fn has_codec(graph: &Graph, id: ValueId) -> bool {
    let value = graph.value(id);
    let elements = value.shape.with_symbols(1).iter().product::<usize>();
    matches!(value.dtype, DType::F32 | DType::U8 | DType::I8)
        && (1..=MAX_ELEMENTS).contains(&elements)
}

/// Mean bytes and times of `samples`.
fn measure(codec: &Codec, samples: &[Tensor], factor: f64) -> Result<Transfer> {
    let count = samples.len() as f64;
    let [mut bytes, mut encode, mut decode] = [0f64; 3];
    for sample in samples {
        let stream = codec.encode(sample)?;
        bytes += stream.len() as f64 / count;
        encode += least_ns(|| Ok(codec.encode(sample).map(|_| ())?))? / count;
        decode += least_ns(|| Ok(codec.decode(&stream).map(|_| ())?))? / count;
    }
    let decode_ns = (decode / factor) as u64;
    Ok(Transfer { bytes: bytes.ceil() as u64, encode_ns: encode as u64, decode_ns })
}

/// Each of `values` for each of `pictures`.
pub fn observe(
    graph: &Graph,
    values: &[ValueId],
    pictures: &[Tensor],
    pool: &std::sync::Arc<Pool>,
) -> Result<Vec<Vec<Tensor>>> {
    let mut watched = graph.clone();
    watched.outputs = values.to_vec();
    let plan = compile(&watched, &CompileOptions::default())?;
    let mut session = Session::new(plan.into(), pool.clone());
    let mut seen = vec![Vec::with_capacity(pictures.len()); values.len()];
    for picture in pictures {
        let outputs = session.infer(std::slice::from_ref(picture))?;
        seen.iter_mut().zip(outputs).for_each(|(seen, output)| seen.push(output));
    }
    Ok(seen)
}
