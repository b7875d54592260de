//! The codec of the cut: what comes back, of how many bytes, from any prefix and from any bytes.

use edgecut_collab::codec::Codec;
use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Data, Tensor};
use proptest::prelude::*;

/// What a convolution with Relu makes: smooth in space, zero in half of the places, channels of very
/// different size.
fn activations(seed: u64, [c, h, w]: [usize; 3], relu: bool) -> Tensor {
    let mut rng = Rng::keyed(&[seed, 0x61_6374]);
    let mut values = Vec::with_capacity(c * h * w);
    for channel in 0..c {
        let size = 0.1 + channel as f32 / c as f32;
        let mut row = vec![0f32; w];
        for _ in 0..h {
            let mut left = 0.0;
            for above in &mut row {
                left = 0.45 * left + 0.45 * *above + size * 0.4 * rng.normal();
                *above = left;
                values.push(if relu { left.max(0.0) } else { left });
            }
        }
    }
    Tensor::new([1, c, h, w], values).unwrap()
}

fn samples(shape: [usize; 3], relu: bool) -> Vec<Tensor> {
    (0..8).map(|seed| activations(seed, shape, relu)).collect()
}

fn error(a: &Tensor, b: &Tensor) -> f64 {
    let pairs = a.to_f32().into_iter().zip(b.to_f32());
    let sum: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
    sum / a.len() as f64
}

fn power(a: &Tensor) -> f64 {
    error(a, &Tensor::zeros(a.shape()).unwrap())
}

#[test]
fn more_bits_are_closer_and_coding_loses_nothing_more() {
    let shape = [12, 14, 14];
    for relu in [true, false] {
        let samples = samples(shape, relu);
        let new = activations(99, shape, relu);
        let mut before = f64::INFINITY;
        for bits in 2..=8 {
            let codec = Codec::calibrate(&samples, bits).unwrap();
            let bytes = codec.encode(&new).unwrap();
            let decoded = codec.decode(&bytes).unwrap();
            assert_eq!(decoded.chunks, decoded.of);
            let off = error(&new, &decoded.tensor);
            // Behind 6 bits on average the widest channels have their 8 already.
            let share = if bits <= 6 { 0.5 } else { 0.9 };
            assert!(off < share * before, "{bits} bits: {off} after {before}");
            before = off;
            // What has been quantised is quantised to the same.
            assert_eq!(codec.encode(&decoded.tensor).unwrap(), bytes, "{bits} bits");
        }
        assert!(before < 2e-4 * power(&new), "{before}");
    }
}

#[test]
fn streams_are_near_the_entropy_and_use_what_neighbours_say() {
    let shape = [16, 28, 28];
    let codec = Codec::calibrate(&samples(shape, true), 4).unwrap();
    let new = activations(99, shape, true);
    let bytes = codec.encode(&new).unwrap();
    let decoded = codec.decode(&bytes).unwrap().tensor.to_f32();
    // Levels are told apart by their values; each channel has its own histogram.
    let mut bits = 0.0;
    for channel in decoded.chunks(28 * 28) {
        let mut counts = std::collections::BTreeMap::new();
        channel.iter().for_each(|v| *counts.entry(v.to_bits()).or_insert(0u32) += 1);
        bits += counts.values().map(|&n| f64::from(n) * (784.0 / f64::from(n)).log2()).sum::<f64>();
    }
    let found = 8.0 * bytes.len() as f64;
    assert!(found < 0.95 * bits, "{found} bits, entropy without neighbours {bits}");
}

#[test]
fn bytes_are_coded_without_loss_in_eight_bits() {
    let mut rng = Rng::new(3);
    let mut sample = || (0..6 * 9).map(|i| (rng.below(20) + i) as u8).collect::<Vec<u8>>();
    let samples: Vec<Vec<u8>> = (0..5).map(|_| sample()).collect();
    let unsigned: Vec<Tensor> =
        samples.iter().map(|s| Tensor::new([1, 6, 3, 3], s.clone()).unwrap()).collect();
    let signed = |s: &Vec<u8>| {
        let data: Data = s.iter().map(|&v| v as i8).collect::<Vec<i8>>().into();
        Tensor::new([1, 6, 3, 3], data).unwrap()
    };
    for all in [unsigned, samples.iter().map(signed).collect()] {
        let codec = Codec::calibrate(&all[..4], 8).unwrap();
        let again = codec.decode(&codec.encode(&all[4]).unwrap()).unwrap().tensor;
        assert_eq!(again, all[4]);
        let four = Codec::calibrate(&all[..4], 4).unwrap();
        let near = four.decode(&four.encode(&all[4]).unwrap()).unwrap().tensor;
        assert_eq!(near.dtype(), all[4].dtype());
        assert!(error(&near, &all[4]) < 30.0);
    }
}

#[test]
fn any_prefix_with_a_header_is_an_approximation() {
    let shape = [24, 28, 28];
    let codec = Codec::calibrate(&samples(shape, true), 5).unwrap();
    let new = activations(99, shape, true);
    let bytes = codec.encode(&new).unwrap();
    let ends = codec.ends(&bytes).unwrap();
    assert!(ends.len() > 8 && ends.last() == Some(&bytes.len()), "{} chunks", ends.len());
    let mut last = power(&new);
    for (index, &end) in ends.iter().enumerate() {
        let decoded = codec.decode(&bytes[..end]).unwrap();
        // Chunks whose bits were all as expected have no bytes.
        let there = ends.iter().filter(|&&e| e <= end).count();
        assert_eq!(decoded.chunks, there);
        let off = error(&new, &decoded.tensor);
        // A bit of a few elements may lead astray, a chunk of them does not.
        assert!(off < 1.02 * last, "chunk {index}: {off} after {last}");
        last = off;
        if index + 1 < ends.len() {
            let next = (end + 1).min(ends[index + 1]);
            let between = codec.decode(&bytes[..next]).unwrap();
            assert!(next == ends[index + 1] || between == decoded);
        }
    }
    // The first third of the bytes is worth most of the energy.
    let third = codec.decode(&bytes[..bytes.len() / 3]).unwrap();
    assert!(error(&new, &third.tensor) < 0.25 * power(&new));
    for end in 0..bytes.len() / 20 {
        if let Ok(decoded) = codec.decode(&bytes[..end]) {
            assert_eq!(decoded.tensor.shape(), new.shape());
        }
    }
    assert!(codec.decode(&bytes[..5]).unwrap_err().to_string().contains("cut off"));
}

/// What a small tensor takes beside its bits does not outweigh them.
#[test]
fn small_tensors_have_small_headers() {
    let mut rng = Rng::new(8);
    let mut codes = || {
        let values: Vec<i8> = (0..6 * 64).map(|_| (rng.normal() * 0.6).round() as i8).collect();
        Tensor::new([1, 6, 8, 8], Data::from(values)).unwrap()
    };
    let samples: Vec<Tensor> = (0..64).map(|_| codes()).collect();
    let codec = Codec::calibrate(&samples, 8).unwrap();
    let new = codes();
    let stream = codec.encode(&new).unwrap();
    assert_eq!(codec.decode(&stream).unwrap().tensor, new);
    let mut counts = std::collections::BTreeMap::new();
    new.to_f32().iter().for_each(|v| *counts.entry(*v as i8).or_insert(0u32) += 1);
    let bits: f64 =
        counts.values().map(|&n| f64::from(n) * (384.0 / f64::from(n)).log2()).sum::<f64>();
    assert!((stream.len() as f64) < bits / 8.0 + 26.0, "{} bytes, {bits} bits", stream.len());
    assert!(codec.header_bytes(&stream).unwrap() < 16);
}

#[test]
fn strange_numbers_and_shapes_are_coded() {
    let mut values: Vec<f32> = (0..48).map(|i| i as f32 - 20.0).collect();
    values[3] = f32::NAN;
    values[7] = f32::INFINITY;
    values[9] = f32::NEG_INFINITY;
    for shape in [vec![1, 3, 4, 4], vec![1, 16, 3], vec![1, 48], vec![48], vec![2, 24]] {
        if shape[0] == 2 {
            let batch = Tensor::new(shape, values.clone()).unwrap();
            let error = Codec::calibrate(&[batch], 4).unwrap_err();
            assert!(error.to_string().contains("a batch of 2"), "{error}");
            continue;
        }
        let tensor = Tensor::new(shape, values.clone()).unwrap();
        let codec = Codec::calibrate(&[tensor.clone(), tensor.clone()], 6).unwrap();
        let again = codec.decode(&codec.encode(&tensor).unwrap()).unwrap().tensor;
        assert_eq!(again.shape(), tensor.shape());
        assert!(again.to_f32().iter().all(|v| v.is_finite()));
    }
    let constant = Tensor::new([1, 2, 2, 2], vec![3f32; 8]).unwrap();
    let codec = Codec::calibrate(std::slice::from_ref(&constant), 2).unwrap();
    assert_eq!(codec.decode(&codec.encode(&constant).unwrap()).unwrap().tensor, constant);
}

#[test]
fn what_does_not_fit_is_refused() {
    let samples = samples([4, 6, 6], true);
    let codec = Codec::calibrate(&samples, 4).unwrap();
    let says = |error: edgecut_collab::CollabError, part: &str| {
        assert!(error.to_string().contains(part), "{error}");
    };
    says(Codec::calibrate(&[], 4).unwrap_err(), "no sample");
    says(Codec::calibrate(&samples, 9).unwrap_err(), "2 to 8");
    let integers = Tensor::new([1, 2], vec![1i64, 2]).unwrap();
    says(Codec::calibrate(&[integers], 4).unwrap_err(), "int64");
    says(codec.encode(&Tensor::zeros([1, 4, 6, 7]).unwrap()).unwrap_err(), "calibrated for");
    let bytes = codec.encode(&samples[0]).unwrap();
    let other = Codec::calibrate(&samples[..3], 5).unwrap();
    says(other.decode(&bytes).unwrap_err(), "both halves need the same codec");
    let longer = [&bytes[..], &[0]].concat();
    says(codec.decode(&longer).unwrap_err(), "follow the last chunk");
    let mut newer = bytes.clone();
    newer[1] = 3;
    says(codec.decode(&newer).unwrap_err(), "version 3");
}

#[test]
fn a_file_brings_the_codec_back() {
    let samples = samples([4, 6, 6], false);
    let codec = Codec::calibrate(&samples, 4).unwrap();
    let file = codec.to_bytes();
    let again = Codec::from_bytes(&file).unwrap();
    assert_eq!((again.id(), &again), (codec.id(), &codec));
    assert_eq!(
        (again.dtype(), again.shape(), again.elements()),
        (DType::F32, &[1, 4, 6, 6][..], 144)
    );
    for end in 0..file.len() {
        assert!(Codec::from_bytes(&file[..end]).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_are_refused(seed in 0u64..1000, at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let shape = [5, 7, 6];
        let codec = Codec::calibrate(&samples(shape, true)[..2], 2 + (seed % 7) as u8).unwrap();
        let new = activations(seed, shape, false);
        let mut bytes = codec.encode(&new).unwrap();
        let at = at.index(bytes.len());
        let before = bytes[at];
        bytes[at] = to;
        match codec.decode(&bytes) {
            Ok(decoded) => prop_assert!(before == to && decoded.chunks == decoded.of),
            Err(error) => prop_assert!(before != to, "{}", error),
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let codec = Codec::calibrate(&samples([3, 4, 4], true)[..2], 3).unwrap();
        prop_assert!(codec.decode(&bytes).is_err());
        let headed = [&[0xEC, 2][..], &codec.id().to_le_bytes()[4..], &bytes].concat();
        prop_assert!(codec.decode(&headed).is_err());
        prop_assert!(Codec::from_bytes(&bytes).is_err());
    }

    #[test]
    fn changed_files_are_refused_or_other_codecs(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let codec = Codec::calibrate(&samples([3, 4, 4], true)[..2], 3).unwrap();
        let mut file = codec.to_bytes();
        let body = 8..file.len() - 4;
        let at = body.start + at.index(body.len());
        file[at] = to;
        // With the right checksum for the wrong content.
        let crc = crc32fast::hash(&file[body.clone()]).to_le_bytes();
        file[body.end..].copy_from_slice(&crc);
        if let Some(other) = Codec::from_bytes(&file).ok().filter(|c| c.elements() < 1 << 16) {
            let data = match other.dtype() {
                DType::U8 => vec![0u8; other.elements()].into(),
                DType::I8 => vec![0i8; other.elements()].into(),
                _ => Data::from(vec![0f32; other.elements()]),
            };
            let bytes = other.encode(&Tensor::new(other.shape(), data).unwrap());
            // Types that no calibration is of are taken for float32 and refused here.
            if let Ok(bytes) = bytes {
                prop_assert_eq!(other.decode(&bytes).unwrap().tensor.len(), other.elements());
            }
        }
    }
}
