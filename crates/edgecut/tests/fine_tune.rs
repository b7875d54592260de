//! `edgecut train MODEL`: models of other tools, with a new last layer, frozen and slower layers.

mod common;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use common::{json, refuse, scratch, succeed, text, toy};
use edgecut_graph::{Graph, onnx, passes, tflite};
use edgecut_zoo::Options;

/// A network for the toy's pictures with seven classes, BatchNorm folded into the layers as
/// exporters leave it.
fn imported() -> Graph {
    let options = Options {
        resolution: Some(16),
        in_channels: Some(1),
        classes: Some(7),
        width: Some(0.5),
        seed: 3,
    };
    let mut graph = edgecut_zoo::build("mobilenet-v3-small", &options).unwrap();
    passes::canonicalise(&mut graph).unwrap();
    graph
}

fn stored() -> PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let write = || {
        let path = scratch().join("imported.onnx");
        onnx::export(&imported(), &path).unwrap();
        path
    };
    FILE.get_or_init(write).clone()
}

/// Trains on the toy for a moment.
fn train(model: &Path, out: &str, more: &[&str]) -> serde_json::Value {
    let out = scratch().join(out);
    let fixed = [
        "train",
        text(model),
        "--data",
        text(toy()),
        "--head",
        "classes=3",
        "--batch",
        "16",
        "--lr",
        "0.02",
        "--out",
        text(&out),
    ];
    let epochs = if more.contains(&"--epochs") { &[][..] } else { &["--epochs", "1"] };
    json(&[&fixed[..], epochs, more].concat())
}

/// Names of the float constants of `old` that are not in `new` as they were.
fn changed(old: &Graph, new: &Graph) -> Vec<String> {
    let constants = old.values().iter().filter(|v| v.constant.is_some());
    let differs = |name: &str| {
        let at = |g: &Graph| g.find_value(name).and_then(|id| g.constant(id).cloned());
        at(old) != at(new)
    };
    constants.filter(|v| differs(&v.name)).map(|v| v.name.clone()).collect()
}

#[test]
fn a_model_gets_a_new_head_and_learns() {
    let model = stored();
    let result = train(&model, "tuned.onnx", &["--epochs", "3"]);
    assert_eq!(result["history"].as_array().unwrap().len(), 3);
    let tuned = onnx::import(&scratch().join("tuned.onnx")).unwrap();
    assert_eq!(tuned.value(tuned.outputs[0]).shape.to_string(), "[batch, 3]");
    assert!(changed(&onnx::import(&model).unwrap(), &tuned).len() > 10);
}

#[test]
fn frozen_layers_keep_every_bit() {
    let model = stored();
    train(&model, "frozen.onnx", &["--freeze", "*", "--fixed-statistics"]);
    let tuned = onnx::import(&scratch().join("frozen.onnx")).unwrap();
    let changed = changed(&onnx::import(&model).unwrap(), &tuned);
    assert!(
        !changed.is_empty() && changed.iter().all(|n| n.starts_with("classifier.3")),
        "{changed:?}"
    );
}

#[test]
fn a_tensorflow_lite_model_is_fine_tuned() {
    let path = scratch().join("imported.tflite");
    tflite::export(&imported(), &path).unwrap();
    let rates = ["--lr-mult", "*=0.5", "--lr-decay-layers", "0.9"];
    train(&path, "tuned.tflite", &rates);
    let tuned = tflite::import(&scratch().join("tuned.tflite")).unwrap();
    assert_eq!(tuned.value(tuned.outputs[0]).shape.with_symbols(1), [1, 3]);
}

#[test]
fn what_does_not_fit_says_what_would() {
    let (model, data) = (stored(), text(toy()));
    let start = ["train", text(&model), "--data", data, "--out", "never.onnx"];
    let with = |more: &[&str]| refuse(&[&start[..], more].concat());
    assert!(with(&[]).contains("--head classes=3"));
    assert!(with(&["--head", "classes=4"]).contains("3 classes"));
    assert!(with(&["--head", "classes=some"]).contains("classes=N"));
    let error = with(&["--head", "classes=3", "--freeze", "backbone.*"]);
    assert!(error.contains("backbone.*") && error.contains("features"), "{error}");
    assert!(with(&["--head", "classes=3", "--lr-mult", "features.*"]).contains("PATTERN=FACTOR"));
    let new = refuse(&["train", "--data", data, "--head", "classes=3", "--out", "never.onnx"]);
    assert!(new.contains("head"), "{new}");
    assert!(!scratch().join("never.onnx").exists());
}

/// The same command ends with the same bytes, whatever the number of threads.
#[test]
fn threads_do_not_change_a_byte() {
    let model = stored();
    let digest = |threads: &str, out: &str| {
        train(&model, out, &["--threads", threads])["sha256"].as_str().unwrap().to_string()
    };
    assert_eq!(digest("1", "one.onnx"), digest("3", "three.onnx"));
    let _ = succeed(&["inspect", text(&scratch().join("one.onnx"))]);
}
