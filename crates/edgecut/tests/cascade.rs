//! `edgecut cascade`.

mod common;

use common::{beginner, edgecut, json, model, refuse, scratch, succeed, text, toy};
use edgecut_collab::certify::Certificate;
use edgecut_collab::digest;
use edgecut_graph::onnx;

/// 60 test pictures certify little.
const LOOSE: [&str; 6] = ["--part", "all", "--epsilon", "0.1", "--delta", "0.1"];

#[test]
fn a_certificate_says_when_the_small_model_will_do() {
    let (edge, out) = (beginner(), scratch().join("cascade.json"));
    let base = ["cascade", text(edge), text(model()), "--data", text(toy())];
    let files = ["--out", text(&out), "--resplits", "60", "--threads", "1"];
    let found = json(&[&base[..], &LOOSE, &files].concat());
    let certificate = Certificate::from_json(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(found["certificate"]["thresholds"][0], certificate.thresholds[0]);
    assert_eq!(certificate.samples, 126);
    assert!(!certificate.same_input, "other pictures have another mean");
    let cloud = digest(&onnx::import(model()).unwrap());
    certificate.check_models(&digest(&onnx::import(edge).unwrap()), Some(&cloud)).unwrap();
    let test = &found["test"];
    assert_eq!(test["saved"]["total"], 126);
    let saved = test["saved"]["count"].as_u64().unwrap();
    assert_eq!(test["exits"][0].as_u64().unwrap(), saved);
    assert_eq!(found["resplits"]["splits"], 60);
    // The same again is the same file; a network that is its own cloud needs no other.
    let before = std::fs::read(&out).unwrap();
    succeed(&[&base[..], &LOOSE, &["--out", text(&out), "-q", "--threads", "2"]].concat());
    assert_eq!(std::fs::read(&out).unwrap(), before);
    let own = ["cascade", text(model()), text(model()), "--data", text(toy())];
    for score in ["max", "margin", "entropy"] {
        let risk = ["--score", score, "--risk", "disagreement"];
        let found = json(&[&own[..], &LOOSE, &risk].concat());
        assert_eq!(found["test"]["saved"]["percent"], 100.0, "{score}");
        assert_eq!(found["certificate"]["thresholds"][0], 0.0, "{score}");
        assert_eq!(found["certificate"]["same_input"], true, "{score}");
    }
    let table = succeed(&[&own[..], &LOOSE].concat());
    assert!(table.contains("cascade") && table.contains("of cloud calls saved"), "{table}");
}

#[test]
fn what_cannot_be_certified_is_said() {
    let out = scratch().join("none.json");
    let base = ["cascade", text(model()), text(model()), "--data", text(toy())];
    let output = edgecut(&[&base[..], &["--out", text(&out)]].concat());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("certify nothing") && message.contains("299 without"), "{message}");
    assert!(!out.exists());
    for (options, says) in [
        (&["--epsilon", "0"][..], "--epsilon"),
        (&["--delta", "1"], "--delta"),
        (&["--out", "no/where.json"], "folder does not exist"),
        (&["--cloud-preprocess", "unheard"], "unheard"),
    ] {
        let message = refuse(&[&base[..], options].concat());
        assert!(message.contains(says), "{options:?}: {message}");
    }
    let message = refuse(&["cascade", "no.onnx", text(model()), "--data", text(toy())]);
    assert!(message.contains("no.onnx"), "{message}");
}
