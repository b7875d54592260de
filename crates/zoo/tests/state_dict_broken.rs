//! Hostile files of weights: an error or tensors, never a panic or a hang, never more memory than
//! stated.

mod craft;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use craft::{Pickle, floats, one_tensor, safetensors, torch_legacy, torch_zip};
use edgecut_graph::limits::MAX_IMPORT_OVERHEAD;
use edgecut_graph::rng::Rng;
use edgecut_zoo::state_dict::{Format, from_bytes_as};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Tests of this file take turns: memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Reads `bytes` as `format` and every tensor of it; returns the message of an error.
fn check(format: Format, bytes: &[u8], what: &str) -> Option<String> {
    let (before, start) = (MEMORY.current_usage(), Instant::now());
    MEMORY.reset_peak_usage();
    let read = || match from_bytes_as(format, "net", bytes) {
        Ok(weights) => {
            let tensors: Vec<_> = weights.names().map(|name| weights.tensor(name)).collect();
            assert!(tensors.iter().all(Option::is_some), "{what}: a name without a tensor");
            None
        }
        Err(error) => Some(error.to_string()),
    };
    let result = catch_unwind(AssertUnwindSafe(read));
    let peak = MEMORY.peak_usage().saturating_sub(before);
    let Ok(message) = result else { panic!("{what}: panicked") };
    let bound = 4 * bytes.len() + MAX_IMPORT_OVERHEAD;
    assert!(peak <= bound, "{what}: {peak} bytes for a file of {}", bytes.len());
    assert!(start.elapsed() < Duration::from_secs(5), "{what}: took {:?}", start.elapsed());
    if let Some(message) = &message {
        assert!(message.starts_with("net: ") && message.len() < 400, "{what}: {message}");
    }
    message
}

fn turn() -> std::sync::MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(|e| e.into_inner())
}

/// A checkpoint with all that pickles of state_dicts have, as both formats of torch.
fn checkpoint() -> Vec<u8> {
    let p = Pickle::new().op(b"}(").text("epoch").int(3).text("state_dict");
    let p = p.global("collections", "OrderedDict").op(b")Rq\x01(").text("module.a").op(b"q\x02");
    let p = p.tensor("0", "FloatStorage", 0, &[2, 2], &[1, 2]).text("module.b");
    let p = p.global("torch._utils", "_rebuild_parameter").op(b"(");
    let p = p.tensor("1", "FloatStorage", 1, &[3], &[1]).op(b"\x88");
    let p = p.global("collections", "OrderedDict").op(b")RtRu}").text("_metadata").op(b"}sb");
    p.text("optimizer")
        .op(b"}")
        .text("state")
        .op(b"](K\x01M\x02\x03J\x04\x05\x06\x07h\x02esu")
        .end()
}

fn samples() -> Vec<(Format, Vec<u8>)> {
    let storages = [("0", &floats(&[1.0; 4])[..]), ("1", &floats(&[2.0; 4]))];
    let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],
        "data_offsets":[0,16]},"b":{"dtype":"F16","shape":[8],"data_offsets":[16,32]}}"#;
    vec![
        (Format::TorchZip, torch_zip(&checkpoint(), &storages)),
        (Format::TorchLegacy, torch_legacy(&checkpoint(), &storages)),
        (Format::Safetensors, safetensors(header, &[60; 32])),
    ]
}

#[test]
fn files_cut_short_are_errors() {
    let _turn = turn();
    for (format, file) in samples() {
        assert_eq!(check(format, &file, "whole"), None);
        for len in 0..file.len() {
            let message = check(format, &file[..len], &format!("{format:?} of {len} bytes"));
            assert!(message.is_some(), "{format:?} of {len} bytes is accepted");
        }
    }
}

#[test]
fn changed_bytes_are_errors_or_other_tensors() {
    let _turn = turn();
    let mut rng = Rng::new(7);
    for (format, file) in samples() {
        for i in 0..file.len() {
            for value in [0, 1, 0x2e, 0x7f, 0x80, 0xff] {
                let mut file = file.clone();
                file[i] = value;
                check(format, &file, &format!("{format:?} with {value} at {i}"));
            }
        }
        for case in 0..4_000 {
            let mut file = file.clone();
            for _ in 0..=rng.below(6) {
                let at = rng.below(file.len());
                match rng.below(3) {
                    0 => file[at] ^= 1 << rng.below(8),
                    1 => drop(file.remove(at)),
                    _ => file.insert(at, rng.below(256) as u8),
                }
            }
            check(format, &file, &format!("{format:?}, case {case}"));
        }
    }
}

/// Each sequence makes objects as fast as the format allows.
#[test]
fn pickles_that_grow() {
    let _turn = turn();
    let cases: &[(&str, &[u8], &[u8])] = &[
        ("tuples", b"", b")"),
        ("lists", b"", b"]"),
        ("dicts", b"", b"}"),
        ("marks", b"", b"("),
        ("nothing", b"", b"N"),
        ("copies of the top", b"N", b"2"),
        ("memo", b"N", b"\x94"),
        ("dicts in the memo", b"", b"}\x94"),
        ("appended items", b"]", b"Na"),
        ("a list in itself", b"]", b"2a"),
        ("tuples in tuples", b"N", b"\x85"),
        ("pairs of pairs", b"N", b"2\x86"),
        ("lists in lists", b"", b"](l"),
        ("groups of nothing", b"", b"(t"),
        ("dicts of dicts", b"", b"(NN(d"),
        ("integers of 255 bytes", b"", &[&[0x8a, 255][..], &[7; 255]].concat()),
        ("ordered dicts", b"ccollections\nOrderedDict\nq\x00", b"h\x00)R"),
    ];
    for (what, begin, repeat) in cases {
        let times = (1 << 21) / repeat.len();
        let mut pickle = [&[0x80, 4], *begin].concat();
        (0..times).for_each(|_| pickle.extend(*repeat));
        let open = torch_legacy(&pickle, &[]);
        assert!(check(Format::TorchLegacy, &open, what).is_some());
        pickle.push(b'.');
        assert!(check(Format::TorchZip, &torch_zip(&pickle, &[]), what).is_some());
    }
}

#[test]
fn pickles_that_copy() {
    let _turn = turn();
    // OrderedDict of a list of 10,000 pairs, again and again.
    let mut p = Pickle::new().op(b"](NN\x86q\x00");
    p.0.extend(b"h\x00".repeat(10_000));
    p = p.op(b"e\x85q\x01").global("collections", "OrderedDict").op(b"q\x02");
    p.0.extend(b"h\x02h\x01R".repeat(100_000));
    let message = check(Format::TorchZip, &torch_zip(&p.end(), &[]), "copied pairs").unwrap();
    assert!(message.contains("steps"), "{message}");
    // A text of a megabyte as the key of a hundred thousand entries.
    let mut p = Pickle::new().op(b"}").text(&"x".repeat(1 << 20)).op(b"q\x00(");
    p.0.extend(b"h\x00N".repeat(100_000));
    check(Format::TorchZip, &torch_zip(&p.op(b"u").end(), &[]), "a long key").unwrap();
    // The same tensor under ten thousand names: each view is within the storage.
    let mut p =
        Pickle::new().op(b"}").tensor("0", "FloatStorage", 0, &[1 << 14], &[1]).op(b"q\x000(");
    for i in 0..10_000 {
        p = p.text(&i.to_string()).op(b"h\x00");
    }
    let storage = [("0", &[0; 1 << 16][..])];
    let message =
        check(Format::TorchZip, &torch_zip(&p.op(b"u").end(), &storage), "overlap").unwrap();
    assert!(message.contains("cannot hold"), "{message}");
    // A hundred thousand tensors, one for each few bytes.
    let mut p = Pickle::new().global("torch._utils", "_rebuild_tensor_v2").op(b"q\x00(");
    p = p.storage("FloatStorage", "0").op(b"K\x00))tq\x01");
    p.0.extend(b"h\x00h\x01R".repeat(100_000));
    let message = check(Format::TorchZip, &torch_zip(&p.end(), &storage), "many tensors").unwrap();
    assert!(message.contains("more than 65536 tensors"), "{message}");
}

/// Neither reading nor dropping follows the nesting.
#[test]
fn nesting_does_not_recurse() {
    let _turn = turn();
    let depth = 200_000;
    let nested = [&b"]".repeat(depth)[..], &b"a".repeat(depth - 1)].concat();
    let p = Pickle::new().op(&nested).end();
    check(Format::TorchZip, &torch_zip(&p, &[]), "nested lists").unwrap();
    // {'model': the same dict}
    let p = Pickle::new().op(b"}q\x00").text("model").op(b"h\x00s").end();
    check(Format::TorchZip, &torch_zip(&p, &[]), "a dict in itself").unwrap();
    let json = format!("{{\"__metadata__\":{}", "[".repeat(1 << 20));
    check(Format::Safetensors, &safetensors(&json, &[]), "nested JSON").unwrap();
    let json = format!("{{\"a\":{}", "{\"a\":".repeat(1 << 20));
    check(Format::Safetensors, &safetensors(&json, &[]), "nested entries").unwrap();
}

#[test]
fn archives_that_lie() {
    let _turn = turn();
    let good = torch_zip(&one_tensor(0, &[1], &[1]), &[("0", &[0; 4])]);
    assert_eq!(check(Format::TorchZip, &good, "good"), None);
    let end = good.len() - 22;
    let list = u32::from_le_bytes(good[end + 16..end + 20].try_into().unwrap()) as usize;
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = good.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        check(Format::TorchZip, &file, &format!("{bytes:?} at {at}"))
    };
    assert!(patched(end + 10, &[0xfe, 0xff]).unwrap().contains("65534 entries is damaged"));
    assert!(patched(end + 16, &[0xfe; 4]).unwrap().contains("cut off or damaged"));
    assert!(patched(list + 10, &[8]).unwrap().contains("compressed"));
    assert!(patched(list + 20, &[0xfe; 8]).unwrap().contains("outside the file"));
    assert!(patched(list + 42, &[0xfe; 4]).unwrap().contains("outside the file"));
    // Sizes of ZIP64 without their field.
    assert!(patched(list + 20, &[0xff; 8]).is_some());
    // Nothing but headers of entries.
    let headers = [&b"PK\x03\x04"[..], &b"PK\x01\x02".repeat(1 << 18)].concat();
    assert!(check(Format::TorchZip, &headers, "headers").is_some());
}

#[test]
fn headers_that_lie() {
    let _turn = turn();
    let fails = |header: &str| {
        check(Format::Safetensors, &safetensors(header, &[0; 8]), &header[..header.len().min(60)])
    };
    let entry = |shape: &str, offsets: &str| {
        fails(&format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#))
    };
    assert_eq!(entry("[2]", "[0,8]"), None);
    assert!(entry("[3]", "[0,8]").unwrap().contains("'w' has a shape that its bytes do not fill"));
    assert!(entry("[2]", "[8,0]").unwrap().contains("outside the file"));
    assert!(entry("[2]", "[0,18446744073709551615]").unwrap().contains("outside the file"));
    assert!(entry("[-1]", "[0,8]").is_some());
    assert!(entry("[1e400]", "[0,8]").is_some());
    assert!(entry("[18446744073709551615,18446744073709551615]", "[0,8]").is_some());
    assert!(entry("[0,18446744073709551615]", "[0,0]").is_some());
    let long = format!("[{}1]", "1,".repeat(1 << 20));
    assert!(entry(&long, "[0,4]").unwrap().contains("8 extents"));
    assert!(fails("{} {}").is_some() && fails("[]").is_some() && fails("{\"w\":3}").is_some());
    let tiny = |i: usize| format!(r#""{i}":{{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#);
    let many = (0..70_000).map(tiny).collect::<Vec<_>>().join(",");
    assert!(fails(&format!("{{{many}}}")).unwrap().contains("more than 65536 tensors"));
    for len in [9u64, 1 << 23, 1 << 24, u64::MAX] {
        let file = [&len.to_le_bytes()[..], b"{}"].concat();
        assert!(check(Format::Safetensors, &file, "length of the header").is_some());
    }
}
