//! How tensors cross: coded, or as bytes of which any server that takes ONNX computes the tail.

use std::sync::Arc;

use edgecut_collab::Halves;
use edgecut_collab::codec::Codec;
use edgecut_compress::{Params, Range};
use edgecut_graph::{DType, Graph, Tensor, ValueId};
use edgecut_kernels::Pool;

use super::prices::observe;
use crate::errors::Result;

/// Codecs of what crosses, in the order of the tail's inputs; none for what crosses as it is.
pub type Codecs = Vec<Option<Codec>>;

/// What floats are on the wire; integers are what they are, unless they are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// 2^`bits` levels over a channel of typical range, entropy-coded.
    Packed {
        /// 2 to 8.
        bits: u8,
    },
    /// A byte each, by one scale and zero point: the head ends with QuantizeLinear, the tail begins with
    /// DequantizeLinear.
    Plain,
}

/// The halves of a model as they are sent to both sides.
pub struct Sent {
    /// Head and tail.
    pub halves: Halves,
    /// Codecs between them.
    pub codecs: Codecs,
}

impl Wire {
    /// Bits of an element before entropy coding.
    pub fn bits(self) -> u8 {
        match self {
            Wire::Packed { bits } => bits,
            Wire::Plain => 8,
        }
    }

    /// Halves of `graph`, of which the device computes the nodes `device`, and codecs, by `pictures`.
    pub fn prepare(
        self,
        graph: &Graph,
        device: &[bool],
        pictures: &[Tensor],
        pool: &Arc<Pool>,
    ) -> Result<Sent> {
        let mut halves = Halves::of(graph, device)?;
        let crossing = crossing(graph, &halves);
        let made: Vec<ValueId> = crossing.iter().flatten().copied().collect();
        let mut codecs: Codecs = crossing.iter().map(|_| None).collect();
        if made.is_empty() {
            return Ok(Sent { halves, codecs });
        }
        let samples = observe(graph, &made, pictures, pool)?;
        match self {
            Wire::Packed { bits } => {
                let coded = codecs.iter_mut().zip(&crossing).filter(|(_, made)| made.is_some());
                for ((codec, _), samples) in coded.zip(&samples) {
                    *codec = Some(Codec::calibrate(samples, bits)?);
                }
            }
            Wire::Plain => {
                let (mut graph, mut device) = (graph.clone(), device.to_vec());
                for (id, samples) in made.into_iter().zip(&samples) {
                    if graph.value(id).dtype == DType::F32 {
                        cross_as_bytes((&mut graph, &mut device), id, range(samples))?;
                    }
                }
                halves = Halves::of(&graph, &device)?;
            }
        }
        Ok(Sent { halves, codecs })
    }
}

/// What crosses, in the order of the tail's inputs; none for inputs of the model.
fn crossing(graph: &Graph, halves: &Halves) -> Vec<Option<ValueId>> {
    let names = halves.tail.iter().flat_map(|t| t.inputs.iter().map(|&id| &t.value(id).name));
    let value = |name: &String| graph.find_value(name).filter(|id| !graph.inputs.contains(id));
    names.map(value).collect()
}

fn range(samples: &[Tensor]) -> Range {
    let ranges = samples.iter().map(|sample| Range::of(&sample.to_f32()));
    ranges.reduce(Range::union).unwrap_or(Range { low: 0.0, high: 0.0 })
}

/// Has the server's nodes read `id` out of bytes that the device makes.
fn cross_as_bytes(
    (graph, device): (&mut Graph, &mut Vec<bool>),
    id: ValueId,
    range: Range,
) -> Result<()> {
    let (name, nodes) = (graph.value(id).name.clone(), graph.nodes.len());
    let rounded = Params::for_range(range).round(graph, id, &name)?;
    let pair = graph.nodes.split_off(nodes);
    let there = graph.nodes.iter_mut().zip(&*device).filter(|(_, here)| !**here);
    let slots = there.flat_map(|(node, _)| node.inputs.iter_mut().flatten());
    slots.filter(|slot| **slot == id).for_each(|slot| *slot = rounded);
    let behind = graph.producers()[id.index()].map_or(0, |node| node + 1);
    graph.nodes.splice(behind..behind, pair);
    // Of Dequantize no side is asked.
    device.splice(behind..behind, [true; 2]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use edgecut_graph::interpret;
    use edgecut_zoo::{Options, build};

    use super::*;

    #[test]
    fn floats_cross_as_bytes_at_every_cut() {
        let graph = build("resnet-8", &Options::default()).unwrap();
        let picture = Tensor::zeros(graph.value(graph.inputs[0]).shape.with_symbols(1)).unwrap();
        let pool = Arc::new(Pool::new(1));
        let expected = interpret::run(&graph, std::slice::from_ref(&picture)).unwrap()[0].to_f32();
        for count in 1..graph.nodes.len() {
            let device: Vec<bool> = (0..graph.nodes.len()).map(|node| node < count).collect();
            let inputs = std::slice::from_ref(&picture);
            let sent = Wire::Plain.prepare(&graph, &device, inputs, &pool).unwrap();
            assert!(sent.codecs.iter().all(Option::is_none));
            let (head, tail) = (sent.halves.head.as_ref(), sent.halves.tail.as_ref());
            let (Some(head), Some(tail)) = (head, tail) else { continue };
            for &input in &tail.inputs {
                let read_whole = graph.find_value(&tail.value(input).name);
                let of_model = read_whole.is_some_and(|id| graph.inputs.contains(&id));
                assert!(of_model || tail.value(input).dtype == DType::U8, "cut {count}");
            }
            let made = interpret::run(head, &sent.halves.head_inputs(inputs)).unwrap();
            let crossing = sent.halves.crossing(inputs, &made);
            let outputs = interpret::run(tail, &crossing).unwrap();
            let answer = sent.halves.answer(inputs, &made, &outputs)[0].to_f32();
            let apart = answer.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 0.05, "cut {count}: {answer:?}, {expected:?}");
        }
    }
}
