//! A search from pictures to measured networks, on a toy data set.

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{command, edgecut, refuse, scratch, succeed, text, toy};
use edgecut_graph::rng::Rng;
use edgecut_testkit::NatsServer;
use serde_json::Value;

const SPACE: &str = "\
name = 'toy'
resolution = [12, 16]
stem = { channels = [8, 16] }

[[stage]]
block = 'mobilenet-v2'
channels = '8..24'
depth = [1, 2]
stride = 2
kernel = [3, 5]
expansion = [2, 3]
bits = [4, 8]
";

fn space() -> PathBuf {
    let path = scratch().join("space.toml");
    std::fs::write(&path, SPACE).unwrap();
    path
}

fn arguments<'a>(space: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let mut args =
        vec!["search", "--data", text(toy()), "--space", text(space), "--out", text(out)];
    args.extend(["--measure", "10", "--shared-epochs", "1", "--trials", "36", "--winners", "2"]);
    args.extend(["--epochs", "6", "--batch", "16", "--lr", "0.03", "--ema-decay", "0.9"]);
    args.extend(["--size", "10KiB"]);
    args.extend(["--flip", "false", "--int8-epochs", "1", "--threads", "1"]);
    args
}

fn found(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("search.json")).unwrap()).unwrap()
}

/// The winners' files.
fn winners(folder: &Path) -> Vec<Vec<u8>> {
    let found = found(folder);
    let files = found["winners"].as_array().unwrap().iter();
    let files = files.flat_map(|winner| winner["files"].as_array().unwrap());
    files.map(|name| std::fs::read(folder.join(name.as_str().unwrap())).unwrap()).collect()
}

/// What must not depend on interruptions: the journal, and the winners.
fn results(folder: &Path) -> Vec<Vec<u8>> {
    let journal = std::fs::read(folder.join("journal")).unwrap();
    std::iter::once(journal).chain(winners(folder)).collect()
}

#[test]
fn from_pictures_to_measured_networks_whatever_is_killed() {
    let (space, out, killed) = (space(), scratch().join("whole"), scratch().join("killed"));
    let mut args = arguments(&space, &out);
    args.push("--json");
    let began = Instant::now();
    let said: Value = serde_json::from_str(&succeed(&args)).unwrap();
    let took = began.elapsed();
    assert_eq!(said, found(&out));
    assert_eq!(said["trials"].as_array().unwrap().len(), 36);
    let winners = said["winners"].as_array().unwrap();
    assert_eq!(winners.len(), 2);
    assert!(winners[0]["teacher"].is_null() && winners[1]["teacher"] == winners[0]["trial"]);
    // The widest networks are too large whatever else they are.
    assert_ne!(said["dropped"], Value::Array(vec![]));
    for winner in winners {
        assert!(winner["test"][1]["percent"].as_f64().unwrap() > 50.0, "{winner}");
        assert!(winner["latency"]["min_ms"].as_f64().unwrap() > 0.0);
        assert!(
            winner["bytes"].as_u64().unwrap() <= 10 * 1024
                && winner["over"] == Value::Array(vec![])
        );
        assert!(said["front"].as_array().unwrap().contains(&winner["trial"]));
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("✓ done") && page.contains("Winners") && !page.contains("http://"));

    let number = winners[1]["trial"].to_string();
    let told = succeed(&["search", "--out", text(&out), "--explain", &number]);
    for part in ["stage 1 block 1", "mobilenet-v2", "head", "measured:"] {
        assert!(told.contains(part), "{part} in {told}");
    }

    // The same measurements of the device, and kills at random moments: the same bytes.
    std::fs::create_dir_all(&killed).unwrap();
    std::fs::copy(out.join("device.jsonl"), killed.join("device.jsonl")).unwrap();
    let args = arguments(&space, &killed);
    let mut rng = Rng::new(std::process::id().into());
    for _ in 0..6 {
        let mut child = command(&args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(took.mul_f32(rng.range(0.05, 0.4)).max(Duration::from_millis(20)));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
    }
    succeed(&args);
    assert!(results(&out) == results(&killed), "kills have changed the result");

    judged_by_workers(&space, &out);

    // More trials are the same search.
    let mut more = arguments(&space, &out);
    let at = more.iter().position(|arg| *arg == "36").unwrap();
    more[at] = "40";
    succeed(&more);
    assert_eq!(found(&out)["trials"].as_array().unwrap().len(), 40);
    halved(&space, &out);
    shared(&space, &out);
    // Other settings are another one.
    let at = more.iter().position(|arg| *arg == "--shared-epochs").unwrap() + 1;
    more[at] = "3";
    assert!(refuse(&more).contains("--restart"));
}

/// A folder with the measurements and shared weights of another search.
fn beside(whole: &Path, name: &str) -> PathBuf {
    let out = scratch().join(name);
    std::fs::create_dir_all(&out).unwrap();
    for known in ["device.jsonl", "shared.checkpoint"] {
        std::fs::copy(whole.join(known), out.join(known)).unwrap();
    }
    out
}

/// The search does all again that it does when it goes on, and finds the same.
fn goes_on_unchanged(args: &[&str], out: &Path) {
    let before = (found(out)["trials"].clone(), winners(out));
    succeed(args);
    assert_eq!((found(out)["trials"].clone(), winners(out)), before);
}

/// Networks that scores propose are looked at, and the best of them closely; the same when it goes on.
fn halved(space: &Path, whole: &Path) {
    let out = beside(whole, "halved");
    let mut args = arguments(space, &out);
    args.extend(["--algorithm", "halving", "--warm", "12"]);
    succeed(&args);
    let trials = found(&out)["trials"].as_array().unwrap().len();
    assert!(0 < trials && trials <= 36, "{trials}");
    goes_on_unchanged(&args, &out);
}

/// With a server each network is cut where that is best, which is never slower than not at all.
fn shared(space: &Path, whole: &Path) {
    let out = beside(whole, "shared");
    let mut args = arguments(space, &out);
    args.extend(["--link", "100000,0.001", "--server", "1000x"]);
    succeed(&args);
    let first = found(&out);
    for winner in first["winners"].as_array().unwrap() {
        let (own, shared) = (&winner["latency"]["min_ms"], &winner["shared"]);
        assert!(shared["ms"].as_f64().unwrap() <= own.as_f64().unwrap() + 1e-5, "{winner}");
        assert!(shared["bytes"].as_u64().unwrap() > 0, "the server is so much faster: {shared}");
    }
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("latency with the server") && page.contains("away"));
    let number = first["winners"][0]["trial"].to_string();
    let told = succeed(&["search", "--out", text(&out), "--explain", &number]);
    assert!(told.contains("with the server: "), "{told}");
    // Coding was measured once.
    goes_on_unchanged(&args, &out);
}

/// Workers on a server, of which one is killed, find what one process finds.
fn judged_by_workers(space: &Path, whole: &Path) {
    let Some(server) = NatsServer::start("") else { return };
    let (url, out) = (server.url(), scratch().join("remote"));
    std::fs::create_dir_all(&out).unwrap();
    std::fs::copy(whole.join("device.jsonl"), out.join("device.jsonl")).unwrap();
    let worker = || {
        let mut command = command(&["search", "--worker", "--nats", &url, "--threads", "1"]);
        command.stderr(Stdio::null()).spawn().unwrap()
    };
    let mut workers = [worker(), worker()];
    let mut args = arguments(space, &out);
    args.extend(["--nats", &url]);
    let mut coordinator = command(&args).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    workers[0].kill().unwrap();
    assert!(coordinator.wait().unwrap().success());
    assert!(workers[1].wait().unwrap().success(), "a worker ends with the search");
    workers[0].wait().unwrap();
    assert_eq!(winners(whole), winners(&out));
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let (space, out) = (space(), scratch().join("refused"));
    let with = |extra: &[&str]| {
        let mut args = arguments(&space, &out);
        args.extend(extra);
        refuse(&args)
    };
    assert!(with(&["--latency", "0.5x"]).contains("latency is a part"));
    assert!(with(&["--link", "5", "--server", "10x"]).contains("round-trip time"));
    assert!(with(&["--link", "5,1", "--server", "this"]).contains("such as 10x"));
    assert!(with(&["--algorithm", "guess"]).contains("there are predictor"));
    assert!(refuse(&["search", "--out", text(&out)]).contains("--data"));
    let nowhere = refuse(&["search", "--out", text(&out), "--explain", "3"]);
    assert!(nowhere.contains("no search"), "{nowhere}");
    let odd = scratch().join("odd.toml");
    std::fs::write(&odd, SPACE.replace("kernel = [3, 5]", "kernel = [3, 4]")).unwrap();
    assert!(refuse(&arguments(&odd, &out)).contains("stage 1: kernel"));
    assert!(refuse(&arguments(Path::new("nothing"), &out)).contains("there are mobile"));

    // No network is fast enough: everything ran, and the result is not what was asked for.
    let mut args = arguments(&space, &out);
    args.extend(["--latency", "1us"]);
    let output = edgecut(&args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("within the limits"), "{errors}");
}
