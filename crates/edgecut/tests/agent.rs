//! Measuring on another device: a real agent, its pass, and what it refuses.

mod common;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Stdio};

use common::{command, json, model, refuse, scratch, text, toy};

/// Small enough for a search within seconds.
const SPACE: &str = "\
name = 'toy'
resolution = [12]
stem = { channels = [8] }

[[stage]]
block = 'mobilenet-v2'
channels = [8, 16]
depth = [1, 2]
stride = 2
kernel = [3]
expansion = [2, 3]
";

/// An agent on a free port, which ends with the test.
struct Running {
    process: Child,
    pass: PathBuf,
}

impl Running {
    fn start(folder: &str) -> Running {
        let keys = scratch().join(folder);
        let mut command = command(&["agent", "--listen", "127.0.0.1:0", "--keys", text(&keys)]);
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let said: Vec<String> = lines.take(2).map(|line| line.expect("text")).collect();
        assert!(said[0].starts_with("https://localhost:"), "{said:?}");
        Running { process, pass: keys.join("pass.json") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_model_and_a_profile_are_measured_elsewhere() {
    let agent = Running::start("agent");
    let ran = json(&[
        "bench",
        text(model()),
        "--agent",
        text(&agent.pass),
        "--runs",
        "7",
        "--threads",
        "1",
    ]);
    assert_eq!(ran["latency"]["runs"], 7);
    assert_eq!(ran["machine"]["threads"], 1);
    assert!(ran["weight_bytes"].as_u64().unwrap() > 1000, "{ran}");
    let out = scratch().join("there.json");
    let profile = json(&[
        "device",
        "measure",
        "--agent",
        text(&agent.pass),
        "--net",
        "s28",
        "--each",
        "0.02",
        "--out",
        text(&out),
    ]);
    assert_eq!(profile["nets"].as_array().unwrap().len(), 2);
    assert!(out.exists());

    let broken = scratch().join("broken-there.onnx");
    std::fs::write(&broken, b"no model").unwrap();
    let refused = refuse(&["bench", text(&broken), "--agent", text(&agent.pass)]);
    assert!(refused.contains("broken-there.onnx") && refused.contains("https://"), "{refused}");
    let nowhere = ["device", "measure", "--agent", text(&agent.pass), "--net", "nothing"];
    let refused = refuse(&[&nowhere[..], &["--out", text(&out)]].concat());
    assert!(refused.contains("no network has 'nothing'"), "{refused}");
}

#[test]
fn a_search_for_another_device_measures_its_networks_there() {
    let mut agent = Running::start("agent-search");
    let (space, out) = (scratch().join("agent-space.toml"), scratch().join("agent-found"));
    std::fs::write(&space, SPACE).unwrap();
    let mut args = vec!["search", "--data", text(toy()), "--space", text(&space)];
    args.extend(["--measure", "10", "--shared-epochs", "1", "--trials", "12", "--winners", "1"]);
    args.extend(["--epochs", "1", "--batch", "16", "--int8-epochs", "0", "--threads", "1"]);
    args.extend(["--out", text(&out), "--agent", text(&agent.pass)]);
    let found = json(&args);
    assert_eq!(found["machine"]["threads"], 1);
    let winner = &found["winners"][0];
    assert_eq!(winner["latency"]["runs"], 100, "a part of the rounds, as the agent was asked");
    // It is the same machine in truth, where networks have the same steps: they are all known.
    let steps = std::fs::read_to_string(out.join("device.jsonl")).unwrap();
    assert_eq!(steps.lines().count(), 1 + 3 * 10);
    assert!(steps.contains("int8"), "{steps}");
    assert!(winner["predicted"][0].as_f64().unwrap() > 0.0, "{winner}");
    agent.process.kill().unwrap();
    agent.process.wait().unwrap();
    let gone = refuse(&args);
    assert!(gone.contains("https://localhost:"), "{gone}");
}

#[test]
fn nobody_is_believed_without_the_pass() {
    let agent = Running::start("agent-strict");
    let pass: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&agent.pass).unwrap()).unwrap();
    let other = Running::start("agent-other");
    let foreign: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&other.pass).unwrap()).unwrap();
    let with = |name: &str, key: &str, value: &serde_json::Value| {
        let mut changed = pass.clone();
        changed[key] = value.clone();
        let path = scratch().join(name);
        std::fs::write(&path, changed.to_string()).unwrap();
        refuse(&["bench", text(model()), "--agent", text(&path)])
    };
    let guessed = with("guessed.json", "token", &"0".repeat(64).into());
    assert!(guessed.contains("the token is not this agent's"), "{guessed}");
    // Another server in its place, whose certificate the pass does not have.
    let spoofed = with("spoofed.json", "url", &foreign["url"]);
    assert!(spoofed.to_lowercase().contains("certificate"), "{spoofed}");
    let plain = with("plain.json", "url", &"http://127.0.0.1:1".into());
    assert!(plain.contains("http"), "{plain}");
    assert!(refuse(&["bench", text(model()), "--agent", text(model())]).contains("no pass"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&agent.pass).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "the pass is the user's alone: {mode:o}");
    }
}
