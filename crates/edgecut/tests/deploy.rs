//! The whole way on a toy data set.

mod common;

use std::path::PathBuf;

use common::{edgecut, scratch, succeed, text, toy};
use serde_json::Value;

fn recipe(name: &str, target: &str) -> PathBuf {
    let path = scratch().join(name);
    let source = text(toy());
    let content = format!(
        "[data]\nsource = '{source}'\n[model]\narch = 'mobilenet-v2-s28'\nwidth = 0.25\n\
         [train]\nepochs = 6\nbatch = 16\nlr = 0.05\nflip = false\nema_decay = 0.9\n\
         [quantize]\nimages = 64\n[target]\n{target}\n[out]\nname = 'Toy <&> shapes'\n"
    );
    std::fs::write(&path, content).unwrap();
    path
}

#[test]
fn from_data_to_a_checked_model_and_a_report() {
    let recipe = recipe("good.toml", "max_drop = 50\nmin_accuracy = 50\nmax_size_kb = 5000");
    let out = scratch().join("good");
    let stdout =
        succeed(&["deploy", text(&recipe), "--out", text(&out), "--json", "--threads", "2"]);
    let report: Value = serde_json::from_str(&stdout).expect("one JSON document");
    let file: Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(report, file);
    assert_eq!(report["schema"], 1);
    assert_eq!(report["data"]["test"], 60);
    assert_eq!(report["training"]["history"].as_array().unwrap().len(), 6);
    assert_eq!(report["checks"].as_array().unwrap().len(), 3);
    assert!(report["int8"]["file_bytes"].as_u64() < report["float"]["file_bytes"].as_u64());
    assert_eq!(report["pictures"].as_array().unwrap().len(), 24);
    assert_eq!(report["int8"]["sha256"].as_str().unwrap().len(), 64);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Toy &lt;&amp;&gt; shapes") && page.ends_with("</html>"));
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "the page must not use the network"
    );

    // Again on one thread from an empty folder: the same models.
    let again = scratch().join("again");
    succeed(&["deploy", text(&recipe), "--out", text(&again), "--threads", "1", "-q"]);
    for name in ["float.onnx", "int8.onnx"] {
        let same =
            std::fs::read(out.join(name)).unwrap() == std::fs::read(again.join(name)).unwrap();
        assert!(same, "{name} depends on the number of threads");
    }

    // Once more in the same folder: training is done already, the result stays.
    let table = succeed(&["deploy", text(&recipe), "--out", text(&again), "-q"]);
    assert!(table.contains("median latency") && table.contains("met"), "{table}");
    let leftovers = std::fs::read_dir(&again)
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".tmp"));
    assert_eq!(leftovers.count(), 0);
}

#[test]
fn a_missed_target_ends_with_1_and_everything_is_written() {
    let recipe = recipe("missed.toml", "max_size_kb = 1");
    let out = scratch().join("missed");
    let output = edgecut(&["deploy", text(&recipe), "--out", text(&out), "-q"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("int8 file") && errors.contains("wanted at most 1 KiB"), "{errors}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("MISSED"));
    for name in ["float.onnx", "int8.onnx", "report.html", "report.json"] {
        assert!(out.join(name).exists(), "{name}");
    }
}

/// A budget that integers alone do not meet: channels go, and what is left is within it.
#[test]
fn a_budget_is_met_and_an_interrupted_way_leads_to_the_same_place() {
    let path = recipe("budget.toml", "");
    let content = std::fs::read_to_string(&path).unwrap().replace("width = 0.25", "width = 0.5");
    let budget = "[budget]\nsize = '0.45x'\nmemory = '0.5x'\nmax_drop = 60\nepochs = 1\n";
    let content =
        content.replace("[target]\n", &format!("{budget}[prune]\nround = 1\nmin_channels = 1\n"));
    std::fs::write(&path, content).unwrap();
    let out = scratch().join("budget");
    let stdout = succeed(&["deploy", text(&path), "--out", text(&out), "--json", "-q"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let way = &report["way"];
    let tried = way["tried"].as_array().unwrap();
    assert!(tried.len() >= 2, "{way}");
    assert_eq!((report["data"]["test"].as_u64(), way["pictures"].as_u64()), (Some(30), Some(30)));
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() == 3 && checks.iter().all(|check| check["met"] == true), "{checks:?}");
    let size = |name: &str| std::fs::metadata(out.join(name)).unwrap().len() as f64;
    assert!(size("int8.onnx") <= 0.45 * size("float.onnx"));
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Accuracy over file") && page.contains("edgecut prune"));

    // The last line of the journal is lost, and half of another one is there: the step is taken again
    // and gives the same.
    let journal = out.join("work/way/journal.jsonl");
    let known = std::fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = known.lines().collect();
    let torn = format!("{}\n{{\"id\"", lines[..lines.len() - 1].join("\n"));
    std::fs::write(&journal, torn).unwrap();
    let again = succeed(&["deploy", text(&path), "--out", text(&out), "--json", "-q"]);
    let again: Value = serde_json::from_str(&again).unwrap();
    let same = |report: &Value| {
        let tried = report["way"]["tried"].as_array().unwrap().iter();
        let of = |c: &Value| (c["sha256"].clone(), c["accuracy"].clone(), c["macs"].clone());
        (report["way"]["front"].clone(), tried.map(of).collect::<Vec<_>>())
    };
    assert_eq!(same(&again), same(&report));
}

#[test]
fn a_budget_says_what_is_wrong_with_it() {
    for (budget, problem) in [
        ("latency = '2 hours'", "[budget] latency must be a part"),
        ("max_drop = 1", "[budget] latency is missing"),
        ("size = '0.5x'\ndevice = 'missing.json'", "missing.json"),
    ] {
        let path = recipe("wrong.toml", "");
        let content = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, content.replace("[target]", &format!("[budget]\n{budget}"))).unwrap();
        let out = scratch().join("wrong");
        let output = edgecut(&["deploy", text(&path), "--out", text(&out), "-q"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(problem), "{errors}");
    }
}

/// A step that the profile has never seen has no latency: it is not one of 0 ms, which any budget admits.
#[test]
fn a_profile_without_integers_cannot_say_what_they_cost() {
    let profile = scratch().join("float-only.json");
    let net = ["--net", "mobilenet-v2-s28 1 28 float", "--each", "0.01"];
    succeed(&[&["device", "measure", "--out", text(&profile)], &net[..]].concat());
    let path = recipe("profile.toml", "");
    let content = std::fs::read_to_string(&path).unwrap();
    let budget = format!("[budget]\nlatency = '0.9x'\ndevice = '{}'\n", text(&profile));
    std::fs::write(&path, content.replace("[target]\n", &budget)).unwrap();
    let out = scratch().join("profile");
    let output = edgecut(&["deploy", text(&path), "--out", text(&out), "-q"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("never measured on this device"), "{errors}");
}
