//! The command line as a person meets it.

mod common;

use common::{edgecut, refuse, succeed};

const VERBS: [&str; 23] = [
    "new",
    "inspect",
    "convert",
    "zoo",
    "data",
    "train",
    "distill",
    "prune",
    "quantize",
    "verify",
    "eval",
    "run",
    "bench",
    "device",
    "split",
    "edge",
    "bottleneck",
    "exits",
    "cascade",
    "search",
    "serve",
    "agent",
    "deploy",
];

#[test]
fn every_verb_explains_itself_with_examples() {
    let all = succeed(&["--help"]);
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb} is not listed");
        let help = succeed(&[verb, "--help"]);
        assert!(help.contains("Examples:") && help.contains(&format!("edgecut {verb}")), "{help}");
        assert!(help.contains("--json") && help.contains("--threads"), "{help}");
    }
}

#[test]
fn wrong_command_lines_end_with_2() {
    for args in [
        &["fly"][..],
        &[],
        &["train"],
        &["train", "--data", "quickstart", "--epochs", "many"],
        &["bench", "m.onnx", "--threads", "0"],
        &["bench", "m.onnx", "--batch", "0"],
        &["deploy"],
    ] {
        let output = edgecut(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn values_out_of_range_name_their_option() {
    for (option, value, needle) in [
        ("--epochs", "0", "--epochs is 0"),
        ("--lr", "nan", "--lr is NaN"),
        ("--lr", "-1", "--lr"),
        ("--batch", "1", "--batch is 1"),
        ("--width", "99", "--width is 99"),
        ("--label-smoothing", "2", "--label-smoothing is 2"),
        ("--memory", "much", "write 256MB"),
        ("--resized-crop", "3", "--resized-crop is 3"),
    ] {
        let option = format!("{option}={value}");
        let message = refuse(&["train", "--data", "quickstart", &option]);
        assert!(message.contains(needle), "{option}: {message}");
    }
}

#[test]
fn errors_are_json_when_asked_for() {
    for args in [
        &["inspect", "absent.onnx", "--json"][..],
        &["inspect", "--json"],
        &["deploy", "absent.toml", "--json"],
    ] {
        let output = edgecut(args);
        assert_eq!(output.status.code(), Some(2));
        let error: serde_json::Value = serde_json::from_slice(&output.stderr).expect("JSON");
        assert_eq!(error["code"], 2);
        assert!(!error["error"].as_str().unwrap_or_default().is_empty(), "{error}");
    }
}

#[test]
fn a_new_recipe_is_valid_and_not_overwritten() {
    let folder = common::scratch().join("fresh");
    let place = common::text(&folder);
    succeed(&["new", place, "--arch", "mobilenet-v2", "--data", "fashion-mnist"]);
    let recipe = std::fs::read_to_string(folder.join("recipe.toml")).unwrap();
    assert!(recipe.contains("arch = \"mobilenet-v2\"") && recipe.contains("\"fashion-mnist\""));
    assert!(refuse(&["new", place]).contains("exists already"));
    succeed(&["new", place, "--force", "--json"]);
    let message = refuse(&["new", place, "--force", "--arch", "mobilnet-v2"]);
    assert!(message.contains("did you mean"), "{message}");
}

#[test]
fn data_sets_are_listed() {
    let list: serde_json::Value =
        serde_json::from_str(&succeed(&["data", "list", "--json"])).unwrap();
    let names: Vec<&str> =
        list.as_array().unwrap().iter().filter_map(|e| e["name"].as_str()).collect();
    assert!(names.contains(&"quickstart") && names.contains(&"fashion-mnist"), "{names:?}");
    assert!(refuse(&["data", "check", "nowhere"]).contains("nowhere"));
}
