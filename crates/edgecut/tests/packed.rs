//! Packed models through the binary: the same answers as from the model itself, and refusals.

mod common;

use std::path::PathBuf;

use common::{
    broken, command, edgecut, json, model, refuse, scratch, succeed, text, toy, toy_int8,
};

/// `from` packed with further options.
fn packed(from: &std::path::Path, name: &str, options: &[&str]) -> PathBuf {
    let path = scratch().join(name);
    let mut args = vec!["convert", text(from), text(&path)];
    args.extend(options);
    succeed(&args);
    path
}

#[test]
fn a_packed_model_answers_as_its_model() {
    let picture = toy().join("test/along/3.png");
    for (name, from) in [("float.ecut", model().to_path_buf()), ("int8.ecut", toy_int8())] {
        let path = packed(&from, name, &["--batch", "1,4"]);
        let run = |path| json(&["run", text(path), text(&picture)])[0]["top"].clone();
        assert_eq!(run(&from), run(&path));
        let array = scratch().join("array.npy");
        for path in [&from, &path] {
            let output = path.with_extension("npy");
            succeed(&["run", text(path), text(&picture), "--output", text(&output)]);
            let bytes = std::fs::read(&output).unwrap();
            if path == &from {
                std::fs::write(&array, bytes).unwrap();
            } else {
                assert_eq!(std::fs::read(&array).unwrap(), bytes, "{name}: the same bits");
            }
        }
        let eval =
            |path| json(&["eval", text(path), "--data", text(toy())])["model"]["top1"].clone();
        assert_eq!(eval(&from), eval(&path));
    }
}

/// Entropy-coded weights: a smaller file with the same answers, and sizes that say what is what.
#[test]
fn coded_models_are_smaller_and_answer_the_same() {
    let picture = toy().join("test/along/3.png");
    let from = toy_int8();
    let (plain, coded) =
        (packed(&from, "plain.ecut", &[]), packed(&from, "coded.ecut", &["--coded"]));
    let output = |path: &PathBuf| {
        let array = path.with_extension("npy");
        succeed(&["run", text(path), text(&picture), "--output", text(&array)]);
        std::fs::read(array).unwrap()
    };
    assert_eq!(output(&plain), output(&coded), "the same bits");
    let sizes = |path: &PathBuf| json(&["inspect", text(path)])["sizes"].clone();
    let (a, b) = (sizes(&plain), sizes(&coded));
    assert!(a["coded"].as_u64() < a["raw"].as_u64(), "{a}");
    assert!(b["container"].as_u64() < a["container"].as_u64(), "{a} {b}");
    assert_eq!((&a["raw"], &a["coded"]), (&b["raw"], &b["coded"]));
    let text_form = succeed(&["inspect", text(&coded)]);
    assert!(text_form.contains("entropy-coded"), "{text_form}");
    let message = refuse(&["convert", text(&from), "other.onnx", "--coded"]);
    assert!(message.contains("--coded: only for packed models"), "{message}");
}

#[test]
fn bench_and_inspect_know_packed_models() {
    let path = packed(model(), "bench.ecut", &["--batch", "1,4"]);
    let o = json(&["bench", text(&path), "--against", text(model()), "--runs", "5"]);
    let load = |side: &str| o[side]["load_ms"].as_f64().unwrap();
    assert!(load("model") > 0.0 && load("model") < load("against"), "{o}");
    assert_eq!(o["model"]["weight_bytes"], o["against"]["weight_bytes"]);
    let four = json(&["bench", text(&path), "--batch", "4", "--runs", "5"]);
    assert_eq!(four["model"]["batch"], 4);
    let message = refuse(&["bench", text(&path), "--batch", "3"]);
    assert!(message.contains("4x1x16x16") && message.contains("--batch 3"), "{message}");
    let o = json(&["inspect", text(&path)]);
    assert_eq!(o["plans"].as_array().unwrap().len(), 2);
    assert_eq!(o["plans"][1]["inputs"][0]["shape"], serde_json::json!([4, 1, 16, 16]));
    assert!(succeed(&["inspect", text(&path)]).contains("checksums fit"));
}

#[test]
fn tuned_plans_are_remembered_and_packed() {
    let net = scratch().join("net.onnx");
    succeed(&["zoo", "mobilenet-v3-small", "--resolution", "96", "--out", text(&net)]);
    let bench = || json(&["bench", text(&net), "--tune", "--threads", "1", "--runs", "3"]);
    let (first, second) = (bench(), bench());
    assert!(first["tuned"]["measured"].as_u64().unwrap() > 0, "{first}");
    assert_eq!(second["tuned"]["measured"], 0, "{second}");
    assert!(second["tuned"]["known"].as_u64().unwrap() > 0, "{second}");
    let changes = |o: &serde_json::Value| o["tuned"]["changes"].as_array().unwrap().len();
    assert_eq!(changes(&first), changes(&second));

    let packed = scratch().join("tuned.ecut");
    let o = json(&["convert", text(&net), text(&packed), "--tune", "--threads", "1"]);
    assert_eq!(o["tuned"]["measured"], 0, "{o}");
    succeed(&["bench", text(&packed), "--against", text(&net), "--runs", "3"]);
    let message = refuse(&["bench", text(&packed), "--tune"]);
    assert!(message.contains("--tune") && message.contains("packed"), "{message}");
    let message = refuse(&["convert", text(&net), "other.onnx", "--tune"]);
    assert!(message.contains("--tune: only for packed models"), "{message}");
}

#[test]
fn what_a_packed_model_cannot_do_is_said() {
    let path = packed(model(), "no.ecut", &[]);
    for args in [
        &["inspect", text(&path), "--passes"][..],
        &["quantize", text(&path), "--data", text(toy()), "--out", "q.onnx"],
        &["convert", text(&path), "back.onnx"],
        &["run", text(&path), "x.npy", "--shape", "1x1x16x16"],
    ] {
        let message = refuse(args);
        assert!(message.contains("packed model"), "{message}");
    }
    let message = refuse(&["convert", text(model()), "x.onnx", "--batch", "2"]);
    assert!(message.contains("--batch"), "{message}");
    let output = command(&["bench", text(&path)]).env("EDGECUT_ISA", "scalar").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let best = json(&["inspect", text(&path)])["isa"] == "scalar";
    assert!(best || output.status.code() == Some(2) && errors.contains("'scalar'"), "{errors}");
}

#[test]
fn broken_packed_models_end_with_a_message() {
    let good = std::fs::read(packed(model(), "good.ecut", &[])).unwrap();
    let path = scratch().join("broken.ecut");
    for bytes in broken(&good, 60, 11).into_iter().chain(broken(&good[..4096], 60, 12)) {
        std::fs::write(&path, &bytes).unwrap();
        let output = edgecut(&["inspect", text(&path)]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains("broken.ecut") && !errors.contains("panicked"), "{errors}");
    }
    std::fs::write(&path, b"text").unwrap();
    assert!(refuse(&["run", text(&path), "x.png"]).contains("edgecut convert"));
    std::fs::write(&path, b"").unwrap();
    assert!(refuse(&["run", text(&path), "x.png"]).contains("empty"));
}
