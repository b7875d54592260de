use edgecut_graph::rng::Rng;
use edgecut_kernels::blob::{Array, Written};

use super::*;

/// Arrays of all kinds: bell-shaped codes, short and long; floats; nothing; one value; noise.
fn arrays(seed: u64) -> Written {
    let mut rng = Rng::new(seed);
    let mut codes = |len: usize, width: f32| -> Vec<u8> {
        (0..len).map(|_| (rng.normal() * width).clamp(-127.0, 127.0) as i8 as u8).collect()
    };
    let mut all = vec![(codes(70_001, 20.0), 1), (codes(300, 20.0), 1), (codes(9000, 3.0), 1)];
    all.push((codes(16_385, 30.0), 1));
    let mut rng = Rng::new(seed);
    let floats: Vec<f32> = (0..5000).map(|_| rng.normal()).collect();
    all.push((floats.iter().flat_map(|x| x.to_le_bytes()).collect(), 4));
    // Clustered and pruned weights; as many different ones as there may be, and one more.
    let shared = |i: usize| if i.is_multiple_of(7) { (i % 31) as f32 * 0.3 - 4.0 } else { 0.0 };
    all.push(((0..9001).flat_map(|i| shared(i).to_le_bytes()).collect(), 4));
    for values in [256, 257] {
        all.push(((0..3000).flat_map(|i| ((i * i % values) as u16).to_le_bytes()).collect(), 2));
        all.push(((0..3000).flat_map(|i| ((i % values) as u64 * 999).to_le_bytes()).collect(), 8));
    }
    all.push((vec![], 1));
    all.push((vec![7; 40_000], 2));
    all.push(((0..3000).map(|_| rng.below(256) as u8).collect(), 1));
    all.push((vec![1, 2, 3], 1));
    let mut written = Written::default();
    for (content, width) in all {
        let start = written.bytes.len().next_multiple_of(64);
        written.bytes.resize(start, 0);
        written.bytes.extend(content);
        written.arrays.push(Array { range: start..written.bytes.len(), width });
    }
    written
}

#[test]
fn what_is_decoded_is_what_was_written() {
    for seed in 0..4 {
        let written = arrays(seed);
        let coded = encode(&written).unwrap();
        let decoded = decode(&coded, written.bytes.len()).unwrap();
        assert!(decoded.bytes() == written.bytes, "seed {seed}");
        assert_eq!(coded, encode(&written).unwrap(), "the same bytes again");
    }
}

/// The entropy of the histogram is the least that any code by single bytes takes.
#[test]
fn sizes_are_near_the_entropy() {
    let mut rng = Rng::new(1);
    for (width, len) in [(2.0, 200_000), (12.0, 200_000), (40.0, 1_000_000)] {
        let codes: Vec<u8> =
            (0..len).map(|_| (rng.normal() * width).clamp(-127.0, 127.0) as i8 as u8).collect();
        let mut counts = [0.0; 256];
        codes.iter().for_each(|&code| counts[usize::from(code)] += 1.0);
        let bits = |n: &f64| if *n > 0.0 { n * (len as f64 / n).log2() } else { 0.0 };
        let least = counts.iter().map(bits).sum::<f64>() / 8.0;
        let size = coded_bytes([(&codes[..], 1)]) as f64;
        assert!(size >= least && size < least * 1.005 + 450.0, "{size} of {least}");
    }
}

/// Pruned and clustered weights take the entropy of their codes, a fraction of a bit each, and the
/// palette; many short arrays of them hardly more.
#[test]
fn sparse_palettes_are_near_the_entropy() {
    let mut rng = Rng::new(3);
    for (len, arrays) in [(400_000, 1), (2000, 200)] {
        let mut counts = [0.0; 31];
        let mut weight = || {
            let code = if rng.below(20) == 0 { (rng.normal() * 5.0) as i32 } else { 0 };
            let code = code.clamp(-15, 15);
            counts[(code + 15) as usize] += 1.0;
            (code as f32 * 0.03f32).to_le_bytes()
        };
        let content: Vec<Vec<u8>> =
            (0..arrays).map(|_| (0..len).flat_map(|_| weight()).collect()).collect();
        let bits = |n: &f64| if *n > 0.0 { n * (400_000.0 / n).log2() } else { 0.0 };
        let least = counts.iter().map(bits).sum::<f64>() / 8.0;
        assert!(least < 0.5 * 400_000.0 / 8.0, "less than half a bit a weight");
        let size = coded_bytes(content.iter().map(|bytes| (&bytes[..], 4))) as f64;
        let most = least * 1.01 + 130.0 * f64::from(arrays);
        assert!((0.9 * least..most).contains(&size), "{size}, not {least} to {most}");
    }
}

#[test]
fn small_arrays_share_a_table_and_noise_stays() {
    let mut rng = Rng::new(2);
    let mut part = || -> Vec<u8> { (0..1000).map(|_| (rng.normal() * 9.0) as i8 as u8).collect() };
    let parts: Vec<Vec<u8>> = (0..50).map(|_| part()).collect();
    let all = coded_bytes(parts.iter().map(|part| (&part[..], 1)));
    assert!(all < 50 * 700, "{all}: 5.2 bits a code, and few tables");
    let noise: Vec<u8> = (0..10_000).map(|_| rng.below(256) as u8).collect();
    assert_eq!(coded_bytes([(&noise[..], 1)]), 10_000);
    assert_eq!(coded_bytes([]), 0);
}

/// Whatever the coded bytes say, decoding ends, and takes the memory that was announced.
#[test]
fn changed_bytes_are_errors_or_other_numbers() {
    let written = arrays(5);
    let (coded, bytes) = (encode(&written).unwrap(), written.bytes.len());
    let directory = 4 + u32::from_le_bytes(*coded.first_chunk().unwrap()) as usize;
    let mut rng = Rng::new(6);
    let mut refused = 0;
    for round in 0..1500 {
        let mut changed = coded.clone();
        for _ in 0..1 + round % 3 {
            let end = if round % 4 == 0 { changed.len() } else { directory };
            let at = rng.below(end);
            changed[at] = if round % 5 == 0 { 0xFF } else { rng.below(256) as u8 };
        }
        refused += usize::from(decode(&changed, bytes).is_err());
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn what_costs_more_than_the_file_is_refused() {
    assert!(decode(&[], 0).is_err() && decode(&[1, 0], 10).is_err());
    assert!(decode(&[0; 64], usize::MAX).unwrap_err().contains("in 64 coded ones"));
    let whole = || Frequencies::of(&std::array::from_fn(|symbol| u64::from(symbol == 3)));
    let tables = (0..=MAX_TABLES).map(|_| whole()).collect();
    let directory = postcard::to_stdvec(&Directory { tables, ..Directory::default() }).unwrap();
    let many = [&(directory.len() as u32).to_le_bytes()[..], &directory].concat();
    assert!(decode(&many, 0).unwrap_err().contains("tables"));
    // Nearly nothing is left of zeros: no reader would believe the size.
    let zeros =
        Written { bytes: vec![0; 1 << 20], arrays: vec![Array { range: 0..1 << 20, width: 1 }] };
    assert_eq!(encode(&zeros), None);
}
