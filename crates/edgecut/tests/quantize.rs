//! `edgecut quantize` on a small trained model.

mod common;

use common::{edgecut, json, model, refuse, scratch, text, toy};

fn quantize<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = ["quantize", text(model()), "--data", text(toy()), "--images", "40", "--out", out];
    [&fixed[..], more].concat()
}

/// The search reports what it tried, keeps the best, and the page shows it.
#[test]
fn the_best_of_many_is_written_with_a_page() {
    let (out, page) = (scratch().join("best.onnx"), scratch().join("best.html"));
    let o = json(&quantize(text(&out), &["--report", text(&page)]));
    let trials = o["trials"].as_array().unwrap();
    assert!(trials.len() > 4 && o["stopped"] == false);
    assert!(trials.iter().any(|trial| trial["recipe"] == o["recipe"]));
    assert!(o["score"]["agreement"].as_f64().unwrap() > 0.8, "{}", o["score"]);
    assert!(o["speed"]["float"]["median_ms"].as_f64().unwrap() > 0.0);
    let page = std::fs::read_to_string(page).unwrap();
    for part in ["What was tried", "polyline", "Beyond the range", "Speed on this machine"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script"), "the page needs nothing but itself");
}

/// One combination, as the options say.
#[test]
fn options_choose_one_combination() {
    let out = scratch().join("one-combination.onnx");
    let options = [
        "--method",
        "entropy",
        "--bits",
        "4",
        "--equalize",
        "--bias-correction",
        "full",
        "--rounding",
        "learned",
        "--saturate",
        "--for",
        "onnxruntime",
    ];
    let o = json(&quantize(text(&out), &options));
    assert_eq!(o["trials"].as_array().unwrap().len(), 1);
    let config = &o["recipe"]["config"];
    assert_eq!((&config["method"], &config["bits"]), (&"entropy".into(), &"four".into()));
    assert_eq!(config["placement"], "every_operator");
    assert!(o["report"]["layers"].as_array().unwrap().iter().all(|layer| layer["bits"] == 4));
    let o = json(&quantize(text(&out), &["--method", "minmax", "--weights-only"]));
    assert!(o["report"]["activations"].as_array().unwrap().is_empty());
}

/// Limits that hold end with 0, others with 1 and a model all the same; nonsense with 2.
#[test]
fn limits_decide_the_exit_code() {
    let out = scratch().join("limits.onnx");
    let o = json(&quantize(text(&out), &["--max-drop", "0", "--time", "1"]));
    assert!(o["mixed"]["met"] == true && o["mixed"]["drop"] == 0.0, "{}", o["mixed"]);
    std::fs::remove_file(&out).unwrap();
    let failed = edgecut(&quantize(text(&out), &["--max-size", "0.1", "--time", "1"]));
    assert_eq!(failed.status.code(), Some(1));
    assert!(out.exists() && String::from_utf8_lossy(&failed.stderr).contains("cannot be met"));
    for (wrong, says) in [
        (["--bits", "5"], "must be 8 or 4"),
        (["--max-drop", "101"], "0 to 100"),
        (["--int4", "nothing"], "no node of that name"),
        (["--time", "0"], "1 to 604800"),
    ] {
        let said = refuse(&quantize(text(&out), &wrong));
        assert!(said.contains(says), "{wrong:?}: {said}");
    }
    let both = ["--max-drop", "1", "--method", "mse"];
    assert!(refuse(&quantize(text(&out), &both)).contains("--method auto"));
}

/// A time that can be kept, one that cannot, and what is no time.
#[test]
fn a_limit_on_latency_decides_the_widths() {
    let out = scratch().join("latency.onnx");
    let o = json(&quantize(text(&out), &["--max-latency", "10s", "--time", "1"]));
    assert!(o["mixed"]["met"] == true && o["mixed"]["latency_ms"].as_f64() < Some(1e4));
    let failed = edgecut(&quantize(text(&out), &["--max-latency", "0.001us", "--time", "1"]));
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(2));
    assert!(said.contains("the fastest choice takes") && out.exists(), "{said}");
    let said = refuse(&quantize(text(&out), &["--max-latency", "soon"]));
    assert!(said.contains("must be a positive time"), "{said}");
}

/// Quantised operators of one node each are read back as the same function.
#[test]
fn operators_of_one_node_answer_the_same() {
    let (qdq, operators) = (scratch().join("as-qdq.onnx"), scratch().join("as-operators.onnx"));
    let options = ["--method", "minmax", "--for", "onnxruntime"];
    json(&quantize(text(&qdq), &options));
    json(&quantize(text(&operators), &["--method", "minmax", "--format", "qoperator"]));
    let answers = |path: &std::path::Path| {
        let o = json(&["eval", text(path), "--data", text(toy())]);
        (o["model"]["top1"].clone(), o["model"]["correct"].clone())
    };
    assert_eq!(answers(&qdq), answers(&operators));
    let names = json(&["inspect", text(&operators), "--nodes"])["operators"].clone();
    assert!(names.get("DequantizeLinear").is_some(), "read as QDQ: {names}");
    let said = refuse(&quantize("int8.tflite", &["--format", "qoperator"]));
    assert!(said.contains("only ONNX files have it"), "{said}");
}

/// A packed result, its sizes, and the option that only it has.
#[test]
fn a_packed_result_says_its_sizes() {
    let out = scratch().join("quantised.ecut");
    let o = json(&quantize(text(&out), &["--method", "minmax", "--coded"]));
    let size = |name: &str| o["sizes"][name].as_u64().unwrap();
    assert_eq!(size("container"), std::fs::metadata(&out).unwrap().len());
    assert!(size("coded") <= size("raw") && size("zip") > 0, "{}", o["sizes"]);
    json(&["eval", text(&out), "--data", text(toy())]);
    let message = refuse(&quantize("int8.onnx", &["--coded"]));
    assert!(message.contains("--coded: only for packed models"), "{message}");
}

#[test]
fn one_command_trains_a_float_model_in_four_bits() {
    let out = scratch().join("trained4.onnx");
    let fixed = ["train", text(model()), "--data", text(toy()), "--bits", "4", "--out", text(&out)];
    let mut args = fixed.to_vec();
    args.extend(["--epochs", "4", "--batch", "16", "--flip", "false", "--ema-decay", "0.9"]);
    let o = json(&args);
    let share = |name: &str| o[name]["percent"].as_f64().unwrap();
    assert!(share("accuracy") >= share("accuracy_before"), "{o}");
    assert!(scratch().join("trained4.onnx.work/answers.cache").exists(), "the float net teaches");
    let names = json(&["inspect", text(&out), "--nodes"])["operators"].clone();
    assert!(names.get("DequantizeLinear").is_some(), "{names}");
    // What has no float model to begin with has nothing to quantise.
    let data = ["--data", text(toy()), "--bits", "4"];
    for (begin, needle) in [(Some(text(&out)), "is quantised"), (None, "a new network")] {
        let args: Vec<&str> = ["train"].into_iter().chain(begin).chain(data).collect();
        assert!(refuse(&args).contains(needle), "{args:?}");
    }
    let args: Vec<&str> = ["train", text(model()), "--data", text(toy()), "--bits", "5"].to_vec();
    assert!(refuse(&args).contains("--bits is 5"));
}
