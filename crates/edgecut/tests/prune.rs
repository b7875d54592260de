//! `edgecut prune`: smaller networks, and what is refused.

mod common;

use std::path::PathBuf;

use common::{edgecut, json, refuse, scratch, succeed, text, toy};

fn net(name: &str) -> PathBuf {
    let path = scratch().join(name);
    succeed(&["zoo", "mobilenet-v2-s28", "--classes", "3", "--out", text(&path)]);
    path
}

#[test]
fn a_target_is_reached_and_what_is_written_runs() {
    let (net, out) = (net("whole.onnx"), scratch().join("pruned.onnx"));
    for target in ["--macs", "--params", "--size"] {
        let report = json(&["prune", text(&net), target, "0.5x", "--out", text(&out)]);
        let measure = target.trim_start_matches("--");
        let of = |which: &str| report[which][measure].as_f64().unwrap();
        let left = of("after") / of("before");
        assert_eq!(report["met"], true);
        assert!(left <= 0.5 && left > 0.35, "{target}: {left}");
        for layer in report["layers"].as_array().unwrap() {
            let count = |which: &str| layer[which].as_u64().unwrap();
            let (before, after) = (count("channels_before"), count("channels_after"));
            assert!(after == before || after % 8 == 0, "{layer}");
        }
        succeed(&["bench", text(&out), "--against", text(&net), "--runs", "3"]);
    }
    let said = succeed(&["prune", text(&net), "--ratio", "0.3", "-v", "--out", text(&out)]);
    assert!(said.contains("channels removed") && said.contains("is the model's output"), "{said}");
}

#[test]
fn activations_are_looked_at_on_pictures() {
    let (data, net, out) =
        (toy(), scratch().join("toy-net.onnx"), scratch().join("by-pictures.onnx"));
    let grey = ["--classes", "3", "--resolution", "16", "--out", text(&net)];
    succeed(&[&["zoo", "mobilenet-v2-s28"], &grey[..]].concat());
    let options = ["--ratio", "0.3", "--importance", "activation", "--out", text(&out)];
    let pictures = ["--data", text(data), "--images", "16", "--preprocess", "pixels"];
    succeed(&[&["prune", text(&net)], &options[..], &pictures].concat());
    assert!(refuse(&[&["prune", text(&net)], &options[..]].concat()).contains("give --data"));
}

#[test]
fn what_cannot_be_is_said() {
    let (net, out) = (net("refused.onnx"), scratch().join("refused-out.onnx"));
    let prune = |rest: &[&str]| -> Vec<String> {
        let all = [&["prune", text(&net), "--out", text(&out)], rest].concat();
        all.into_iter().map(String::from).collect()
    };
    let refused = |rest: &[&str]| {
        let args = prune(rest);
        refuse(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(refused(&[]).contains("--macs"));
    assert!(refused(&["--macs", "2x"]).contains("a part such as 0.5x"));
    assert!(refused(&["--ratio", "1.5"]).contains("between 0 and 1"));
    assert!(refused(&["--ratio", "0.3", "--round", "0"]).contains("--round is 0"));
    let message = refused(&["--ratio", "0.3", "--importance", "bnscale", "--rank", "fastest"]);
    assert!(message.contains("fastest"));
    assert!(!out.exists());
    // Out of reach: the smallest is written, and the exit code says so.
    let args = prune(&["--macs", "0.01x"]);
    let output = edgecut(&args.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(1));
    assert!(out.exists());
}
