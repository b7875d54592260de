//! What becomes of the answers of a model that is split, or that gets JPEG files.

use std::sync::Arc;

use edgecut_collab::codec::Codec;
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use serde::Serialize;

use super::pictures::Test;
use super::wire::{Codecs, Sent};
use crate::errors::Result;
use crate::stats::Share;

/// Answers beside those of the whole model.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// Test pictures.
    pub pictures: usize,
    /// The same answer with everything that is sent.
    pub same: Share,
    /// The same answer from the first half of the bytes; of what crosses coded only.
    pub same_from_half: Option<Share>,
    /// Top-1 accuracy, where the labels are the model's.
    pub top1: Option<TopOne>,
    /// Mean bytes of a picture.
    pub bytes: f64,
    /// The same without tables that all files share; of JPEG files only.
    pub scan_bytes: Option<f64>,
    /// Bits of an element that crosses; of splits only.
    pub bits_per_element: Option<f64>,
}

/// Right answers.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TopOne {
    /// Of the whole model.
    pub whole: Share,
    /// With everything that is sent.
    pub sent: Share,
}

/// Runs a graph many times.
pub struct Runner(Session);

impl Runner {
    /// Compiles it.
    pub fn new(graph: &Graph, pool: &Arc<Pool>) -> Result<Runner> {
        let plan = compile(graph, &CompileOptions::default())?;
        Ok(Runner(Session::new(plan.into(), pool.clone())))
    }

    /// Its outputs.
    pub fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        Ok(self.0.infer(inputs)?)
    }
}

/// What is counted over test pictures.
#[derive(Default)]
struct Tally {
    same: usize,
    /// Where half of what is sent is of use.
    same_from_half: Option<usize>,
    /// Right answers of the whole model and of what is sent, where labels are known.
    right: Option<[usize; 2]>,
    bytes: usize,
    elements: usize,
}

impl Tally {
    /// The answers to a picture: the whole model's, and the one with everything that is sent.
    fn count(&mut self, [whole, sent]: [Option<usize>; 2], label: Option<usize>) {
        self.same += usize::from(whole == sent);
        let Some(label) = label else { return };
        let right = self.right.get_or_insert_default();
        right[0] += usize::from(whole == Some(label));
        right[1] += usize::from(sent == Some(label));
    }

    fn proof(self, pictures: usize) -> Proof {
        let share = |count| Share::of(count, pictures);
        let top1 = |[whole, sent]: [usize; 2]| TopOne { whole: share(whole), sent: share(sent) };
        let split = self.elements > 0;
        let bits = 8.0 * self.bytes as f64 / self.elements as f64;
        Proof {
            pictures,
            same: share(self.same),
            same_from_half: self.same_from_half.map(share),
            top1: self.right.map(top1),
            bytes: self.bytes as f64 / pictures as f64,
            scan_bytes: None,
            bits_per_element: split.then_some(bits),
        }
    }
}

/// Both halves, and what is between them, against the whole model on test pictures; none where nothing is
/// split.
pub fn split(
    graph: &Graph,
    Sent { halves, codecs }: &Sent,
    test: &Test,
    pool: &Arc<Pool>,
) -> Result<Option<Proof>> {
    let (Some(head), Some(tail)) = (&halves.head, &halves.tail) else { return Ok(None) };
    let [mut whole, mut head, mut tail] =
        [Runner::new(graph, pool)?, Runner::new(head, pool)?, Runner::new(tail, pool)?];
    let coded = codecs.iter().any(Option::is_some);
    let mut tally = Tally { same_from_half: coded.then_some(0), ..Tally::default() };
    for index in 0..test.len() {
        let inputs = [test.input(index)?];
        let expected = answer(&whole.run(&inputs)?);
        let made = head.run(&halves.head_inputs(&inputs))?;
        let crossing = halves.crossing(&inputs, &made);
        let streams = encoded(codecs, &crossing)?;
        for (tensor, stream) in crossing.iter().zip(&streams) {
            let plain = tensor.len() * tensor.dtype().bytes();
            tally.bytes += stream.as_ref().map_or(plain, Vec::len);
            tally.elements += tensor.len();
        }
        let mut from = |part: usize| -> Result<Option<usize>> {
            let outputs = tail.run(&received(codecs, &crossing, &streams, part)?)?;
            Ok(answer(&halves.answer(&inputs, &made, &outputs)))
        };
        tally.count([expected, from(1)?], test.label(index));
        if let Some(same) = &mut tally.same_from_half {
            *same += usize::from(from(2)? == expected);
        }
    }
    Ok(Some(tally.proof(test.len())))
}

fn encoded(codecs: &Codecs, crossing: &[Tensor]) -> Result<Vec<Option<Vec<u8>>>> {
    let encode = |(tensor, codec): (&Tensor, &Option<Codec>)| {
        Ok(codec.as_ref().map(|codec| codec.encode(tensor)).transpose()?)
    };
    crossing.iter().zip(codecs).map(encode).collect()
}

/// What the server decodes from one `part`th of each stream.
fn received(
    codecs: &Codecs,
    crossing: &[Tensor],
    streams: &[Option<Vec<u8>>],
    part: usize,
) -> Result<Vec<Tensor>> {
    let mut received = crossing.to_vec();
    for ((tensor, codec), stream) in received.iter_mut().zip(codecs).zip(streams) {
        if let (Some(codec), Some(stream)) = (codec, stream) {
            let end = (stream.len() / part).max(codec.header_bytes(stream)?);
            *tensor = codec.decode(&stream[..end])?.tensor;
        }
    }
    Ok(received)
}

/// The whole model on JPEG files against itself on the pictures.
pub fn jpeg(graph: &Graph, test: &Test, pool: &Arc<Pool>) -> Result<Proof> {
    let mut runner = Runner::new(graph, pool)?;
    let (mut tally, mut scans) = (Tally::default(), 0);
    for index in 0..test.len() {
        let file = test.as_jpeg(index)?;
        let expected = answer(&runner.run(&[test.input(index)?])?);
        tally.count([expected, answer(&runner.run(&[file.input])?)], test.label(index));
        tally.bytes += file.bytes;
        scans += file.scan_bytes;
    }
    let scan_bytes = Some(scans as f64 / test.len().max(1) as f64);
    Ok(Proof { scan_bytes, ..tally.proof(test.len()) })
}

/// The class: the position of the first output's largest element.
fn answer(outputs: &[Tensor]) -> Option<usize> {
    let values = outputs.first()?.to_f32();
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    values.iter().position(|v| *v == largest)
}
