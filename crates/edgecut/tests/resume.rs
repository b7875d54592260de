//! Training survives being killed, and its result depends on nothing but its inputs.

mod common;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use common::{command, edgecut, model, refuse, scratch, succeed, text, toy};
use edgecut_graph::rng::Rng;

fn args<'a>(out: &'a str, threads: &'a str, epochs: &'a str) -> Vec<&'a str> {
    let mut args = vec!["train", "--data", text(toy()), "--out", out, "--threads", threads];
    args.extend([
        "--arch",
        "mobilenet-v2-s28",
        "--width",
        "0.25",
        "--batch",
        "16",
        "--epochs",
        epochs,
    ]);
    args.extend(["--checkpoint-every", "0.05"]);
    args
}

fn file(name: &str) -> PathBuf {
    scratch().join(name)
}

/// Kills the command that `args` makes for a result at random moments, and starts it again until it
/// ends: the bytes are those of a run that nobody disturbs.
fn survives_kills(name: &str, args: impl Fn(&str) -> Vec<String>) {
    let (whole, killed) =
        (file(&format!("{name}-whole.onnx")), file(&format!("{name}-killed.onnx")));
    let arguments = args(text(&whole));
    let began = std::time::Instant::now();
    succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let took = began.elapsed();
    let arguments = args(text(&killed));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut rng = Rng::new(std::process::id().into());
    let mut kills = 0;
    for _ in 0..5 {
        let mut child =
            command(&arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(took.mul_f32(rng.range(0.05, 0.5)).max(Duration::from_millis(20)));
        child.kill().unwrap(); // SIGKILL
        kills += i32::from(!child.wait().unwrap().success());
    }
    assert!(kills > 0, "no run was killed before its end");
    succeed(&arguments);
    assert!(
        std::fs::read(&whole).unwrap() == std::fs::read(&killed).unwrap(),
        "the bytes differ after {kills} kills"
    );
}

#[test]
fn killed_at_random_moments_the_result_is_the_same_bytes() {
    survives_kills("train", |out| args(out, "2", "20").into_iter().map(String::from).collect());
}

#[test]
fn killed_distillation_ends_with_the_same_bytes() {
    let teacher = text(model());
    survives_kills("distill", |out| {
        let mut args = args(out, "2", "12");
        args.drain(..1);
        // The name of the student is an argument of its own.
        let place = args.iter().position(|arg| *arg == "--arch").unwrap();
        args.drain(place..place + 2);
        args.splice(0..0, ["distill", "mobilenet-v2-s28", teacher, "--views", "3"]);
        args.into_iter().map(String::from).collect()
    });
}

#[test]
fn killed_training_in_integers_ends_with_the_same_bytes() {
    let float = text(model());
    survives_kills("integers", |out| {
        let fixed = ["train", float, "--bits", "4", "--data", text(toy()), "--out", out];
        let more =
            ["--batch", "16", "--epochs", "8", "--checkpoint-every", "0.05", "--threads", "2"];
        fixed.into_iter().chain(more).map(String::from).collect()
    });
}

#[test]
fn killed_pruning_in_steps_ends_with_the_same_bytes() {
    let whole = text(model());
    survives_kills("prune", |out| {
        let fixed = ["prune", whole, "--macs", "0.6x", "--data", text(toy()), "--out", out];
        let steps = ["--steps", "2", "--epochs", "3", "--round", "1", "--min-channels", "2"];
        let more = ["--batch", "16", "--flip", "false", "--checkpoint-every", "0.05"];
        let all = [&fixed[..], &steps[..], &more[..], &["--importance", "taylor"]].concat();
        all.into_iter().map(String::from).collect()
    });
}

#[test]
fn one_thread_or_two_the_result_is_the_same_bytes() {
    let (one, two) = (file("threads1.onnx"), file("threads2.onnx"));
    succeed(&args(text(&one), "1", "3"));
    succeed(&args(text(&two), "2", "3"));
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&two).unwrap());
}

#[test]
fn less_memory_gives_the_same_bytes() {
    let (whole, little) = (file("whole-memory.onnx"), file("little-memory.onnx"));
    let train = |out, more: &[&str]| -> [u64; 3] {
        let all = [&args(text(out), "2", "2"), &["--json"][..], more].concat();
        let output: serde_json::Value = serde_json::from_str(&succeed(&all)).unwrap();
        let field = |name: &str| output["memory"][name].as_u64().unwrap();
        let others = ["scratch", "parameters", "beside"].map(field).iter().sum();
        [field("activations"), others, field("recomputed")]
    };
    let [activations, others, recomputed] = train(&whole, &["--memory", "100GB"]);
    assert_eq!(recomputed, 0);
    let size = format!("{}B", others + activations * 3 / 4);
    let [less, _, recomputed] = train(&little, &["--memory", &size]);
    assert!(less < activations && recomputed > 0, "{less} of {activations}");
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&little).unwrap());
    let never = file("never.onnx");
    let refused = refuse(&[&args(text(&never), "2", "2"), &["--memory", "100kB"][..]].concat());
    assert!(refused.contains("too little") && refused.contains("at least"), "{refused}");
    assert!(!never.exists());
}

#[test]
fn a_checkpoint_of_another_training_is_refused_until_restart() {
    let out = file("other.onnx");
    succeed(&args(text(&out), "2", "2"));
    let other = args(text(&out), "2", "3");
    let output = edgecut(&other);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("checkpoint") && errors.contains("--restart"), "{errors}");
    let mut again = other.clone();
    again.push("--restart");
    succeed(&again);
}

#[test]
fn a_broken_checkpoint_is_named() {
    let out = file("damaged.onnx");
    succeed(&args(text(&out), "2", "1"));
    let checkpoint = file("damaged.onnx.work").join("train.checkpoint");
    let mut bytes = std::fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&checkpoint, bytes).unwrap();
    let output = edgecut(&args(text(&out), "2", "1"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("train.checkpoint"), "{errors}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_with_a_checkpoint_and_says_how_to_go_on() {
    let out = file("stopped.onnx");
    let arguments = args(text(&out), "2", "2000");
    let child = command(&arguments).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let checkpoint = file("stopped.onnx.work").join("train.checkpoint");
    while !checkpoint.exists() {
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("the same command goes on"), "{errors}");
    assert!(!out.exists(), "a stopped training writes no model");
}
