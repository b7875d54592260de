//! `edgecut prune`: smaller networks, and what is refused.

mod common;

use std::path::PathBuf;

use common::{edgecut, json, model, refuse, scratch, succeed, text, toy};

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

/// Options that leave something of a net with few channels.
const NARROW: [&str; 4] = ["--round", "1", "--min-channels", "2"];

#[test]
fn pruning_in_steps_keeps_what_training_brings_back() {
    let out = scratch().join("steps.onnx");
    let target = ["prune", text(model()), "--macs", "0.5x", "--data", text(toy())];
    let steps = ["--steps", "3", "--epochs", "3", "--final-epochs", "5", "--batch", "16"];
    let more = ["--flip", "false", "--out", text(&out)];
    let args = [&target[..], &steps[..], &more[..], &NARROW[..]].concat();
    let report = json(&args);
    let all = report["steps"].as_array().unwrap();
    assert_eq!((all.len(), &report["met"]), (3, &true.into()));
    let mut last = report["before"]["macs"].as_f64().unwrap();
    for (at, step) in all.iter().enumerate() {
        let reached = step["reached"].as_f64().unwrap();
        assert!(reached < last && reached <= step["wanted"].as_f64().unwrap(), "{step}");
        assert_eq!(step["trained"]["epochs"], [3, 3, 5][at]);
        last = reached;
    }
    assert_eq!(report["after"]["macs"].as_f64().unwrap(), last);
    let share = |value: &serde_json::Value| value["percent"].as_f64().unwrap();
    let (before, after) =
        (share(&report["accuracy_before"]), share(&all[2]["trained"]["accuracy"]));
    assert!(after > 80.0 && after >= before - 10.0, "{before} before, {after} after");
    // What is done is not done again, and other work is not mixed up with it.
    let again = json(&args);
    assert_eq!(again["sha256"], report["sha256"]);
    let other = [&args[..], &["--lr", "0.05"]].concat();
    assert!(refuse(&other).contains("--restart"));
    json(&[&other[..], &["--restart"]].concat());
}

#[test]
fn sensitivity_is_measured_group_by_group() {
    let base = ["prune", text(model()), "--data", text(toy()), "--images", "64"];
    let report = json(&[&base[..], &["--sensitivity"]].concat());
    assert_eq!(report["pictures"], 64);
    assert!(report["before"]["accuracy"].as_f64().unwrap() > 80.0);
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.len() > 5);
    let mut worst = 0.0f64;
    for group in groups {
        let points = group["points"].as_array().unwrap();
        let removed: Vec<u64> = points.iter().map(|p| p["removed"].as_u64().unwrap()).collect();
        assert!(removed.len() == 5 && removed.is_sorted(), "{group}");
        worst = worst.max(points[4]["loss"].as_f64().unwrap());
    }
    assert!(worst > report["before"]["loss"].as_f64().unwrap() + 0.1, "{worst}");
    let out = scratch().join("by-sensitivity.onnx");
    let options = ["--rank", "sensitivity", "--macs", "0.7x", "--out", text(&out)];
    let report = json(&[&base[..], &options[..], &NARROW[..]].concat());
    assert_eq!(report["met"], true);
    assert!(report["steps"][0]["pruned_accuracy"]["percent"].is_f64());
}

#[test]
fn of_several_rankings_the_best_is_kept() {
    let by = |rank: &str| {
        let out = scratch().join(format!("by-{rank}.onnx"));
        let base = ["prune", text(model()), "--data", text(toy()), "--images", "64"];
        let options = ["--rank", rank, "--macs", "0.6x", "--out", text(&out)];
        let output = edgecut(&[&base[..], &options[..], &NARROW[..]].concat());
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{told}");
        (told, std::fs::read(&out).unwrap())
    };
    let (told, best) = by("auto");
    let share = |line: &str| -> Option<(f64, String)> {
        let (rank, rest) = line.strip_prefix("rank ")?.split_once(": ")?;
        Some((rest.split_once(' ')?.0.parse().ok()?, rank.to_string()))
    };
    let found: Vec<(f64, String)> = told.lines().filter_map(share).collect();
    assert_eq!(found.len(), 3, "{told}");
    let most = found.iter().map(|(share, _)| *share).fold(0.0, f64::max);
    let (_, rank) = found.iter().find(|(share, _)| *share == most).unwrap();
    assert!(best == by(rank).1, "{told}");
    let target = ["--rank", "auto", "--macs", "0.7x", "--out", "x.onnx"];
    assert!(refuse(&[&["prune", text(model())], &target[..]].concat()).contains("--data"));
}

#[test]
fn residual_blocks_go_in_steps() {
    let out = scratch().join("shorter.onnx");
    let target = ["prune", text(model()), "--depth", "3", "--out", text(&out)];
    assert!(refuse(&target).contains("give --data"));
    let steps = ["--data", text(toy()), "--images", "32", "--steps", "2", "--epochs", "2"];
    let report = json(&[&target[..], &steps[..], &["--batch", "16", "--flip", "false"]].concat());
    assert_eq!((&report["met"], &report["removed"]), (&true.into(), &3.into()));
    let layers = report["layers"].as_array().unwrap();
    // Three blocks of two or three convolutions, of which nothing is left.
    let gone = layers.iter().filter(|layer| layer["macs_after"] == 0).count();
    assert!((6..=9).contains(&gone), "{layers:?}");
    let accuracy = &report["steps"][1]["trained"]["accuracy"]["percent"];
    assert!(accuracy.as_f64().unwrap() > 70.0, "{accuracy}");
    let many = [&target[..3], &["99", "--out", text(&out)], &steps[..2]].concat();
    assert_eq!(edgecut(&many).status.code(), Some(1));
}

#[test]
fn gradients_need_pictures_with_classes() {
    let out = scratch().join("by-gradients.onnx");
    for importance in ["taylor", "hessian"] {
        let target = ["--macs", "0.7x", "--importance", importance, "--out", text(&out)];
        let all = [&["prune", text(model())], &target[..], &NARROW[..]].concat();
        assert!(refuse(&all).contains("give --data"));
        let report = json(&[&all[..], &["--data", text(toy())]].concat());
        assert_eq!(report["met"], true);
    }
}

#[test]
fn wide_layers_become_two_thin_ones() {
    let (net, out) = (net("wide.onnx"), scratch().join("thin.onnx"));
    let report = json(&["prune", text(&net), "--low-rank", "0.9x", "--out", text(&out)]);
    let macs = |which: &str| report[which]["macs"].as_f64().unwrap();
    let left = macs("after") / macs("before");
    assert!(report["met"] == true && left <= 0.9 && left > 0.85, "{left}");
    let layers = report["layers"].as_array().unwrap();
    assert!(layers.iter().any(|layer| layer["rank"].as_u64().is_some()));
    let said = succeed(&["prune", text(&net), "--low-rank", "0.9", "--out", text(&out)]);
    assert!(said.contains("energy") && said.contains("train it on"), "{said}");
    succeed(&["bench", text(&out), "--runs", "1"]);
    let refused = refuse(&["prune", text(&net), "--low-rank", "1x", "--out", text(&out)]);
    assert!(refused.contains("share of energy"), "{refused}");
    let both = ["--low-rank", "0.9", "--macs", "0.5x"];
    assert!(refuse(&[&["prune", text(&net)], &both[..]].concat()).contains("cannot be used with"));
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
    assert!(refused(&["--ratio", "0.3", "--epochs", "2"]).contains("give --data"));
    assert!(refused(&["--sensitivity"]).contains("give --data"));
    assert!(refused(&["--ratio", "0.3", "--steps", "0"]).contains("--steps is 0"));
    let classes = refused(&["--ratio", "0.3", "--data", "quickstart", "--preprocess", "pixels"]);
    assert!(classes.contains("classes"), "{classes}");
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
