//! Broken TensorFlow Lite files: an error or a valid graph, never a panic, never more memory than
//! stated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use edgecut_graph::limits::MAX_IMPORT_OVERHEAD;
use edgecut_graph::rng::Rng;
use edgecut_graph::tflite::{from_bytes, to_bytes};
use edgecut_testkit::{Family, random_graph, shared_data};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Tests of this file take turns: memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Imports `bytes` and returns whether that worked.
fn check(bytes: &[u8], what: &str) -> bool {
    let start = Instant::now();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = catch_unwind(AssertUnwindSafe(|| from_bytes("broken", bytes)));
    let peak = MEMORY.peak_usage().saturating_sub(before);
    let Ok(result) = result else { panic!("{what}: import panicked") };
    let bound = 4 * bytes.len() + MAX_IMPORT_OVERHEAD;
    assert!(peak <= bound, "{what}: {peak} bytes for a file of {}", bytes.len());
    // A second is the limit; machines that test are busy.
    assert!(start.elapsed() < Duration::from_secs(5), "{what}: {:?}", start.elapsed());
    match result {
        Ok(graph) => {
            graph.validate().unwrap_or_else(|e| panic!("{what}: imported, but invalid: {e}"));
            true
        }
        Err(error) => {
            assert!(error.to_string().starts_with("broken: "), "{what}: {error}");
            false
        }
    }
}

#[test]
fn what_is_no_model_is_refused() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    for bytes in [&b""[..], b"TFL3", b"\0\0\0\0TFL3", b"\xff\xff\xff\xffTFL3", b"\x08\0\0\0TFL3"] {
        assert!(!check(bytes, "no model"));
    }
    // A table whose vtable is itself, and one whose vtable lies before the file.
    assert!(!check(b"\x08\0\0\0TFL3\0\0\0\0\0\0\0\0", "own vtable"));
    assert!(!check(b"\x08\0\0\0TFL3\xff\xff\xff\x7f\0\0\0\0", "vtable before the file"));
}

/// Where the structure of the file is: offsets there matter most. Buffers of weights come first
/// or last, so both ends are hit often.
fn position(rng: &mut Rng, len: usize) -> usize {
    match rng.below(3) {
        0 => rng.below(len.min(40_000)),
        1 => len - 1 - rng.below(len.min(60_000)),
        _ => rng.below(len),
    }
}

#[test]
fn truncated_and_damaged_models() {
    let Some(path) = shared_data("models/mobilenet_v1_0.25_224_quant.tflite") else { return };
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let base = std::fs::read(path).unwrap();
    assert!(check(&base, "base"));
    for len in (0..base.len()).step_by(base.len() / 60 + 1) {
        // What lies last may be notes that import does not read.
        let read = check(&base[..len], &format!("cut at {len}"));
        assert!(!read || len > base.len() / 2, "cut at {len}");
    }
    let mut rng = Rng::new(13);
    let mut imported = 0;
    for case in 0..400 {
        let mut bytes = base.clone();
        for _ in 0..=8 * rng.below(16) {
            let at = position(&mut rng, bytes.len());
            match case % 3 {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes[at] = [0, 0x7f, 0x80, 0xff][rng.below(4)],
                _ => {
                    // A whole offset or number.
                    let at = at / 4 * 4;
                    let value = [0, u32::MAX, 1 << 31, 1 << 20, 8][rng.below(5)].to_le_bytes();
                    let end = (at + 4).min(bytes.len());
                    bytes[at..end].copy_from_slice(&value[..end - at]);
                }
            }
        }
        imported += usize::from(check(&bytes, &format!("damage {case}")));
    }
    // Neither everything nor nothing gets through.
    assert!((10..390).contains(&imported), "{imported} of 400 imported");
}

/// Small models of single operators, of every family.
fn small_models() -> Vec<(String, Vec<u8>)> {
    let mut models = vec![];
    for family in Family::ALL {
        for seed in 0..24 {
            let case = family.case(seed);
            if let Ok(bytes) = to_bytes(&case.graph().unwrap()) {
                models.push((format!("{family:?} {seed}"), bytes));
            }
        }
    }
    let networks = (0..6).map(|seed| (format!("network {seed}"), random_graph(seed)));
    models.extend(networks.map(|(name, graph)| (name, to_bytes(&graph).unwrap())));
    models
}

/// Bytes, and words at their offsets, of small files: nothing but structure.
#[test]
fn damaged_operators() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let mut rng = Rng::new(17);
    for (name, base) in small_models() {
        assert!(check(&base, &name));
        for case in 0..120 {
            let mut bytes = base.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len());
                if case % 2 == 0 {
                    bytes[at] = [0, 1, 2, 4, 0x7f, 0x80, 0xff, bytes[at] ^ 1][rng.below(8)];
                    continue;
                }
                let value = [0, 1, 2, u32::MAX, u32::MAX - 1, 1 << 31, 1 << 30, 65_536, 7];
                let value = value[rng.below(9)].to_le_bytes();
                let at = at / 4 * 4;
                let end = (at + 4).min(bytes.len());
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
            check(&bytes, &format!("{name}, damage {case}"));
        }
    }
}

/// Every operator code on the tensors and options of every other operator.
#[test]
fn operators_with_the_inputs_of_others() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let mut read = 0;
    for (name, base) in small_models() {
        // Version, code, and the code in one byte, as an entry of the operator codes ends.
        let is_entry = |w: &[u8]| w[1..4] == [0; 3] && w[5..8] == [0; 3] && w[8] == w[4];
        let entries =
            base.windows(9).enumerate().filter(|(_, w)| (1..9).contains(&w[0]) && is_entry(w));
        let entries: Vec<usize> = entries.map(|(at, _)| at).collect();
        let Some(&entry) = entries.first() else { continue };
        for code in 0..=160u8 {
            let mut bytes = base.clone();
            bytes[entry + 4] = code;
            bytes[entry + 8] = code.min(127);
            read += usize::from(check(&bytes, &format!("{name} as operator {code}")));
        }
    }
    assert!(read > 500, "{read}");
}
