//! What becomes of the answers of a model that is split, or that gets JPEG files.

use std::sync::Arc;

use edgecut_collab::codec::Codec;
use edgecut_collab::{Halves, Source};
use edgecut_graph::{Graph, Tensor, ValueId};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use serde::Serialize;

use super::pictures::Pictures;
use super::prices::observe;
use crate::errors::Result;
use crate::stats::Share;

/// Codecs of what crosses, in the order of the tail's inputs; none for inputs of the model.
pub type Codecs = Vec<Option<Codec>>;

/// Answers beside those of the whole model.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Test pictures.
    pub pictures: usize,
    /// The same answer with everything that is sent.
    pub same: Share,
    /// The same answer from the first half of the bytes; of splits only.
    pub same_from_half: Option<Share>,
    /// Mean bytes of a picture.
    pub bytes: f64,
    /// Bits of an element that crosses; of splits only.
    pub bits_per_element: Option<f64>,
}

/// Calibrates the codec of everything that crosses on `pictures`.
pub fn codecs(
    graph: &Graph,
    halves: &Halves,
    crossing: &[ValueId],
    bits: u8,
    pictures: &[Tensor],
    pool: &Arc<Pool>,
) -> Result<Codecs> {
    let coded = |source: &Source| !matches!(source, Source::Input(_));
    let values: Vec<ValueId> = crossing
        .iter()
        .zip(&halves.crossing)
        .filter(|(_, s)| coded(s))
        .map(|(id, _)| *id)
        .collect();
    let mut samples = observe(graph, &values, pictures, pool)?.into_iter();
    let mut codec = |source: &Source| {
        let samples = coded(source).then(|| samples.next()).flatten();
        Ok(samples.map(|samples| Codec::calibrate(&samples, bits)).transpose()?)
    };
    halves.crossing.iter().map(&mut codec).collect()
}

/// Runs a graph many times.
struct Runner(Session);

impl Runner {
    fn new(graph: &Graph, pool: &Arc<Pool>) -> Result<Runner> {
        let plan = compile(graph, &CompileOptions::default())?;
        Ok(Runner(Session::new(plan.into(), pool.clone())))
    }

    fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(self.0.infer(inputs)?)
    }
}

/// Head, codec and tail against the whole model on test pictures.
pub fn split(
    graph: &Graph,
    halves: &Halves,
    codecs: &Codecs,
    pictures: &[Tensor],
    pool: &Arc<Pool>,
) -> Result<Option<Proof>> {
    let (Some(head), Some(tail)) = (&halves.head, &halves.tail) else { return Ok(None) };
    let mut runners =
        [Runner::new(graph, pool)?, Runner::new(head, pool)?, Runner::new(tail, pool)?];
    let (mut bytes, mut elements, mut same) = (0, 0, [0; 2]);
    for picture in pictures {
        let inputs = std::slice::from_ref(picture);
        let [whole, head, tail] = &mut runners;
        let expected = answer(&whole.run(inputs)?);
        let made = head.run(&halves.head_inputs(inputs))?;
        let crossing = halves.crossing(inputs, &made);
        let streams: Vec<Option<Vec<u8>>> = crossing
            .iter()
            .zip(codecs)
            .map(|(tensor, codec)| codec.as_ref().map(|codec| codec.encode(tensor)).transpose())
            .collect::<edgecut_collab::Result<_>>()?;
        bytes += streams.iter().flatten().map(Vec::len).sum::<usize>();
        elements += codecs.iter().flatten().map(Codec::elements).sum::<usize>();
        for (same, part) in same.iter_mut().zip([1, 2]) {
            let mut received = crossing.clone();
            for ((tensor, codec), stream) in received.iter_mut().zip(codecs).zip(&streams) {
                if let (Some(codec), Some(stream)) = (codec, stream) {
                    let end = (stream.len() / part).max(codec.header_bytes(stream)?);
                    *tensor = codec.decode(&stream[..end])?.tensor;
                }
            }
            let outputs = tail.run(&received)?;
            *same += usize::from(answer(&halves.answer(inputs, &made, &outputs)) == expected);
        }
    }
    let count = pictures.len();
    Ok(Some(Proof {
        pictures: count,
        same: Share::of(same[0], count),
        same_from_half: Some(Share::of(same[1], count)),
        bytes: bytes as f64 / count as f64,
        bits_per_element: Some(8.0 * bytes as f64 / (elements as f64).max(1.0)),
    }))
}

/// The whole model on JPEG files against itself on the pictures.
pub fn jpeg(
    graph: &Graph,
    pictures: &Pictures,
    inputs: &[Tensor],
    pool: &Arc<Pool>,
) -> Result<Proof> {
    let mut runner = Runner::new(graph, pool)?;
    let (mut bytes, mut same) = (0, 0);
    for (input, (file, size)) in inputs.iter().zip(pictures.test_as_jpeg(inputs.len())?) {
        let expected = answer(&runner.run(std::slice::from_ref(input))?);
        same += usize::from(answer(&runner.run(&[file])?) == expected);
        bytes += size;
    }
    let count = inputs.len();
    Ok(Proof {
        pictures: count,
        same: Share::of(same, count),
        same_from_half: None,
        bytes: bytes as f64 / count as f64,
        bits_per_element: None,
    })
}

/// The class: the position of the first output's largest element.
fn answer(outputs: &[Tensor]) -> Option<usize> {
    let values = outputs.first()?.to_f32();
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|v| *v == largest)
}
