//! Zeros by gradients and in steps, and channels that become zero while training.

mod common;

use std::path::Path;

use common::{json, model, refuse, scratch, succeed, text, toy};
use edgecut_compress::prune::{Channels, Role};
use edgecut_graph::onnx;

/// Channels, and those among them whose weights are all zero.
fn zero_channels(path: &Path) -> [usize; 2] {
    let channels = Channels::of(&onnx::import(path).unwrap()).unwrap();
    let graph = channels.graph();
    let mut counts = [0, 0];
    for group in &channels.groups {
        for channel in &group.channels {
            let mut largest = 0f32;
            let members = group.members.iter().zip(&channel.indices);
            for (member, indices) in members.filter(|(m, _)| m.role != Role::Statistic) {
                let tensor = graph.constant(member.value).unwrap();
                let shape = tensor.shape();
                let inner: usize = shape[member.dim + 1..].iter().product();
                for (at, value) in tensor.to_f32().iter().enumerate() {
                    if indices.contains(&(at / inner % shape[member.dim])) {
                        largest = largest.max(value.abs());
                    }
                }
            }
            counts[0] += 1;
            counts[1] += usize::from(largest == 0.0);
        }
    }
    counts
}

#[test]
fn group_lasso_makes_channels_zero_that_can_go_without_a_loss() {
    let train = |name: &str, more: &[&str]| {
        let path = scratch().join(name);
        let fixed = ["train", text(model()), "--data", text(toy()), "--out", text(&path)];
        let how = ["--epochs", "30", "--batch", "16", "--lr", "0.05", "--flip", "false"];
        let report = json(&[&fixed[..], &how[..], &["--ema-decay", "0"], more].concat());
        (report["accuracy"]["percent"].as_f64().unwrap(), path)
    };
    let (_, plain) = train("plain.onnx", &[]);
    assert_eq!(zero_channels(&plain)[1], 0);
    let (accuracy, lasso) = train("lasso.onnx", &["--group-lasso", "0.04"]);
    let [all, zero] = zero_channels(&lasso);
    assert!(zero > 0 && zero < all, "{zero} of {all}");
    assert!(accuracy > 90.0, "{accuracy}");
    // They are worth least, and nothing is lost with them.
    let (out, ratio) = (scratch().join("lasso-pruned.onnx"), zero as f64 / (2 * all) as f64);
    let ratio = format!("{ratio:.3}");
    let target = ["--ratio", &ratio, "--rank", "global", "--round", "1", "--min-channels", "1"];
    let pictures = ["--data", text(toy()), "--out", text(&out)];
    let report = json(&[&["prune", text(&lasso)], &target[..], &pictures[..]].concat());
    assert_eq!(report["steps"][0]["pruned_accuracy"], report["accuracy_before"]);
    assert!(report["removed"].as_u64().unwrap() > 0);
    let int8 = common::toy_int8();
    let wrong = ["train", text(&int8), "--data", text(toy()), "--group-lasso", "0.1"];
    assert!(refuse(&wrong).contains("float"));
}

#[test]
fn weights_become_zero_in_steps_by_their_gradients() {
    for by in ["snip", "movement"] {
        let out = scratch().join(format!("{by}.onnx"));
        let target = ["prune", text(model()), "--sparsity", "0.6", "--by", by, "--out", text(&out)];
        assert!(refuse(&target).contains("give --data"));
        let steps = ["--steps", "2", "--epochs", "2", "--data", text(toy()), "--images", "64"];
        let how = ["--batch", "16", "--flip", "false"];
        let report = json(&[&target[..], &steps[..], &how[..]].concat());
        let all = report["steps"].as_array().unwrap();
        // The cubic schedule: 1 - (1 - 1/2)^3 of it after the first of two.
        for (step, share) in all.iter().zip([0.6 * 0.875, 0.6]) {
            assert!((step["reached"].as_f64().unwrap() - share).abs() < 1e-3, "{step}");
        }
        let count = |name: &str| report[name].as_f64().unwrap();
        assert!((count("zeros") / count("weights") - 0.6).abs() < 1e-3, "training revived zeros");
        let accuracy = &all[1]["trained"]["accuracy"]["percent"];
        assert!(accuracy.as_f64().unwrap() > 50.0, "{by}: {accuracy}");
        let again = succeed(&[&target[..], &steps[..], &how[..]].concat());
        assert!(again.contains("accuracy was"), "{again}");
    }
    let pattern = ["prune", text(model()), "--sparsity", "2:4", "--steps", "2"];
    assert!(refuse(&pattern).contains("not with N:M"));
}
