//! A codec from samples.

use edgecut_graph::{DType, Tensor};

use super::chunks::{Chunk, Part, bits};
use super::layout::Layout;
use super::model::Counts;
use super::quantiser::{Channel, allocate};
use super::{BITS, Codec, MAX_ELEMENTS};
use crate::{CollabError, Result};

/// Values of a channel that its range is chosen by, spread evenly over all samples.
const MAX_VALUES: usize = 1 << 10;

/// Classes of channels with as many bits.
const CLASSES: usize = 4;

/// Bytes that a chunk is expected to have: a prefix loses half of one on average, and each takes some 8
/// bytes of header and state.
const CHUNK_BYTES: f64 = 512.0;

/// Below this a chunk is not closed: of a small tensor all planes come together, since what chunks take
/// beside their bits would be more than a prefix is worth.
const MIN_CHUNK_BYTES: f64 = 160.0;

/// Chunks of a plane at most.
const MAX_CHUNKS: f64 = 16.0;

pub(super) fn calibrate(samples: &[Tensor], bits: u8) -> Result<Codec> {
    let first = check(samples, bits)?;
    let layout = Layout::of(first.shape());
    let lossless = first.dtype().is_quantised() && bits == *BITS.end();
    let channels = match lossless {
        true => {
            let low = if first.dtype() == DType::I8 { -128.0 } else { 0.0 };
            vec![Channel { low, step: 1.0, bits, class: 0 }; layout.channels]
        }
        false => allocate(&values(samples, &layout), bits),
    };
    let (dtype, shape) = (first.dtype(), first.shape().to_vec());
    let mut codec = Codec { dtype, shape, channels, classes: vec![], chunks: vec![] };
    let levels: Vec<Vec<u8>> = samples.iter().map(|sample| codec.levels(sample)).collect();
    let histograms = histograms(&levels, &layout);
    let count = classify(&mut codec.channels, &histograms);
    codec.classes = (0..count)
        .map(|class| {
            let own =
                |(index, channel): (usize, &Channel)| (channel.class == class).then_some(index);
            let members: Vec<usize> = codec.channels.iter().enumerate().filter_map(own).collect();
            let bits = codec.channels[members[0]].bits;
            count_bits(&levels, &layout, &members, bits).class(bits)
        })
        .collect();
    codec.chunks = arrange(&codec.channels, &histograms, samples.len());
    Ok(codec)
}

fn check(samples: &[Tensor], bits: u8) -> Result<&Tensor> {
    let fail = |problem: String| Err(CollabError::Codec(problem));
    let Some(first) = samples.first() else { return fail("no sample to calibrate on".into()) };
    if !BITS.contains(&bits) {
        return fail(format!("{bits} bits, must be {} to {}", BITS.start(), BITS.end()));
    }
    if !(first.dtype() == DType::F32 || first.dtype().is_quantised()) {
        return fail(format!("{} tensors cannot be coded, only float32 and 8-bit", first.dtype()));
    }
    if first.is_empty() || first.len() > MAX_ELEMENTS {
        return fail(format!("{} elements, must be 1 to {MAX_ELEMENTS}", first.len()));
    }
    if first.rank() > 1 && first.shape()[0] != 1 {
        return fail(format!("a batch of {}: tensors are coded one by one", first.shape()[0]));
    }
    match samples.iter().find(|s| s.shape() != first.shape() || s.dtype() != first.dtype()) {
        Some(other) => fail(format!("samples of {:?} and {:?}", first.shape(), other.shape())),
        None => Ok(first),
    }
}

/// Finite values of each channel, as many of all.
fn values(samples: &[Tensor], layout: &Layout) -> Vec<Vec<f32>> {
    let all = samples.len() * layout.positions();
    let every = all.div_ceil(MAX_VALUES);
    let mut values = vec![Vec::with_capacity(all / every + 1); layout.channels];
    for (number, sample) in samples.iter().enumerate() {
        let elements = sample.to_f32();
        for (index, values) in values.iter_mut().enumerate() {
            let phase = (every - number * layout.positions() % every) % every;
            let picked = layout.channel(index).skip(phase).step_by(every);
            values.extend(picked.map(|at| elements[at]).filter(|v| v.is_finite()));
        }
    }
    values
}

/// How often each level occurs in each channel.
fn histograms(levels: &[Vec<u8>], layout: &Layout) -> Vec<[u64; 256]> {
    let mut histograms = vec![[0; 256]; layout.channels];
    for levels in levels {
        for (channel, levels) in histograms.iter_mut().zip(levels.chunks(layout.positions())) {
            levels.iter().for_each(|&level| channel[usize::from(level)] += 1);
        }
    }
    histograms
}

/// Gives channels with as many bits and alike entropy the same class. Returns how many there are.
fn classify(channels: &mut [Channel], histograms: &[[u64; 256]]) -> u16 {
    let mut next = 0;
    for bits in BITS {
        let mut members: Vec<usize> =
            (0..channels.len()).filter(|&c| channels[c].bits == bits).collect();
        members.sort_by(|&a, &b| {
            let entropy = |c: usize| entropy(&histograms[c], 0);
            entropy(a).total_cmp(&entropy(b)).then(a.cmp(&b))
        });
        for members in members.chunks(members.len().div_ceil(CLASSES).max(1)) {
            members.iter().for_each(|&c| channels[c].class = next);
            next += 1;
        }
    }
    next
}

fn count_bits(levels: &[Vec<u8>], layout: &Layout, members: &[usize], depth: u8) -> Counts {
    let mut counts = Counts::new(depth);
    let positions = layout.positions();
    for levels in levels {
        for &member in members {
            let levels = &levels[member * positions..(member + 1) * positions];
            for plane in 0..depth {
                for (node, context, bit) in bits(levels, layout.columns, depth, plane) {
                    counts.add(node, context, bit);
                }
            }
        }
    }
    counts
}

/// Bits that all elements of a histogram take down to `plane`.
fn entropy(histogram: &[u64; 256], plane: u8) -> f64 {
    let total: u64 = histogram.iter().sum();
    let cells = histogram.chunks(1 << plane).map(|cell| cell.iter().sum::<u64>());
    cells.filter(|&n| n > 0).map(|n| n as f64 * (total as f64 / n as f64).log2()).sum()
}

/// Squared error of all elements in steps where they are known down to `plane` only.
fn error(histogram: &[u64; 256], plane: u8) -> f64 {
    let cell = |cell: &[u64]| {
        let moment = |power: i32| -> f64 {
            let levels = cell.iter().enumerate();
            levels.map(|(level, &n)| n as f64 * (level as f64).powi(power)).sum()
        };
        let [count, sum, squares] = [0, 1, 2].map(moment);
        if count > 0.0 { squares - sum * sum / count } else { 0.0 }
    };
    histogram.chunks(1 << plane).map(cell).sum()
}

/// The order of bits: planes from the most significant on, in each the channels whose bits take away
/// most of the squared error first.
fn arrange(channels: &[Channel], histograms: &[[u64; 256]], samples: usize) -> Vec<Chunk> {
    let (mut chunks, mut last, mut size) = (vec![], Chunk::default(), 0.0);
    for plane in (0..*BITS.end()).rev() {
        let mut order: Vec<(usize, f64, f64)> = vec![];
        for (index, channel) in channels.iter().enumerate().filter(|(_, c)| c.bits > plane) {
            let histogram = &histograms[index];
            let cost = (entropy(histogram, plane) - entropy(histogram, plane + 1)) / samples as f64;
            let gain = error(histogram, plane + 1) - error(histogram, plane);
            let worth = gain * f64::from(channel.step).powi(2) / (cost + 1.0);
            order.push((index, cost, worth));
        }
        order.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        let bits: f64 = order.iter().map(|(_, cost, _)| cost).sum();
        let count = (bits / 8.0 / CHUNK_BYTES).round().clamp(1.0, MAX_CHUNKS);
        let mut end = 0.0;
        let mut open: Vec<u32> = vec![];
        for (place, (index, cost, _)) in order.iter().enumerate() {
            open.push(*index as u32);
            end += cost;
            let full = end >= bits / count;
            if full || place + 1 == order.len() {
                last.parts.push(Part { plane, channels: std::mem::take(&mut open) });
                size += end / 8.0;
                end = 0.0;
            }
            if open.is_empty() && size >= MIN_CHUNK_BYTES {
                chunks.push(std::mem::take(&mut last));
                size = 0.0;
            }
        }
    }
    if !last.parts.is_empty() {
        chunks.push(last);
    }
    chunks
}
