//! `edgecut split`.

mod common;

use common::{edgecut, json, model, refuse, scratch, succeed, text, toy};
use edgecut_collab::codec::Codec;
use edgecut_collab::partition::Placement;
use edgecut_edge::engine::Warm;
use edgecut_edge::plans::Plans;
use edgecut_graph::{DType, Graph, Tensor, interpret, onnx};

const SERVER: [&str; 4] = ["--server", "100x", "--threads", "1"];

fn split(more: &[&str]) -> serde_json::Value {
    json(&[&["split", text(model())], &SERVER[..], more].concat())
}

#[test]
fn links_decide_who_computes() {
    // A server without a round trip and with any bandwidth takes all of it; a dead link nothing.
    let fast = split(&["--link", "1000000,0"]);
    assert_eq!(fast["chosen"]["placement"], "raw", "{}", fast["chosen"]);
    let slow = split(&["--link", "0.001,1000"]);
    assert_eq!(slow["chosen"]["placement"], "local", "{}", slow["chosen"]);
    assert_eq!(slow["exhaustive"], true);
    let rows = slow["candidates"].as_array().unwrap();
    assert!(rows.iter().filter(|row| row["placement"] == "split").count() > 3);
    let least = rows.iter().map(|row| row["total_ms"].as_f64().unwrap()).fold(f64::MAX, f64::min);
    assert_eq!(slow["chosen"]["total_ms"].as_f64().unwrap(), least);
    assert_eq!(rows.iter().filter(|row| row["chosen"] == true).count(), 1);
    let table = succeed(&[&["split", text(model()), "--link", "5,40"], &SERVER[..]].concat());
    assert!(table.contains("->") && table.contains("all on the device"), "{table}");
}

#[test]
fn a_trace_gives_quantiles() {
    let path = scratch().join("trace.json");
    std::fs::write(
        &path,
        r#"[{"duration_ms": 1000, "bandwidth_kbps": 100, "latency_ms": 30},
            {"duration_ms": 1000, "bandwidth_kbps": 100000, "latency_ms": 10}]"#,
    )
    .unwrap();
    let found = split(&["--link", text(&path)]);
    for row in found["candidates"].as_array().unwrap() {
        let at = |name: &str| row["replay"][name].as_f64().unwrap();
        assert!(at("p50_ms") <= at("p95_ms") && at("p95_ms") <= at("p99_ms"), "{row}");
        assert!(at("mean_ms") >= found["chosen"]["replay"]["mean_ms"].as_f64().unwrap());
    }
    std::fs::write(&path, "[]").unwrap();
    let message = refuse(&["split", text(model()), "--link", text(&path), "--server", "2x"]);
    assert!(message.contains("trace.json: carries nothing"), "{message}");
}

fn run(graph: &Graph, inputs: &[Tensor]) -> Tensor {
    interpret::run(graph, inputs).unwrap().remove(0)
}

#[test]
fn both_halves_and_their_codec_are_the_model() {
    let [head, tail, cut] =
        ["head.onnx", "tail.onnx", "cut.codec"].map(|name| scratch().join(name));
    let cuts = cuts();
    let name = &cuts[cuts.len() / 2];
    let data = ["--data", text(toy()), "--images", "12", "--check", "30", "--bits", "6"];
    let out = ["--out-head", text(&head), "--out-tail", text(&tail), "--out-codec", text(&cut)];
    let found = split(&[&["--link", "5,40", "--at", name], &data[..], &out[..]].concat());
    assert_eq!(found["chosen"]["sends"][0], **name);
    assert_eq!(found["written"].as_array().unwrap().len(), 3);
    assert!(found["check"]["same"]["percent"].as_f64().unwrap() > 90.0, "{}", found["check"]);
    assert!(found["jpeg"]["bytes"].as_f64().unwrap() > 100.0);
    for part in ["check", "jpeg"] {
        let top1 = &found[part]["top1"]["whole"]["percent"];
        assert!(top1.as_f64().unwrap() > 60.0, "{part}: {}", found[part]);
    }
    let (whole, head, tail) = (
        onnx::import(model()).unwrap(),
        onnx::import(&head).unwrap(),
        onnx::import(&tail).unwrap(),
    );
    let codec = Codec::from_bytes(&std::fs::read(&cut).unwrap()).unwrap();
    let shape = whole.value(whole.inputs[0]).shape.with_symbols(1);
    let picture = Tensor::zeros(shape).unwrap();
    let crossing = run(&head, std::slice::from_ref(&picture));
    assert_eq!(run(&tail, std::slice::from_ref(&crossing)), run(&whole, &[picture]));
    let stream = codec.encode(&crossing).unwrap();
    let received = codec.decode(&stream).unwrap().tensor;
    assert_eq!(
        run(&tail, &[received]).shape(),
        whole.value(whole.outputs[0]).shape.with_symbols(1)
    );
}

#[test]
fn what_leaks_is_measured_and_limited() {
    let data = ["--data", text(toy()), "--images", "8", "--check", "8", "--link", "5,40"];
    let found = split(&[&data[..], &["--privacy", "--at", &cuts()[0]]].concat());
    let rows = found["candidates"].as_array().unwrap();
    let dcor = |row: &serde_json::Value| row["dcor"].as_f64().unwrap();
    assert!(rows.iter().all(|row| (0.0..=1.0).contains(&dcor(row))));
    let of = |placement: &str| dcor(rows.iter().find(|r| r["placement"] == placement).unwrap());
    assert_eq!([of("local"), of("raw")], [0.0, 1.0]);
    let alone = |row: &&serde_json::Value| {
        row["placement"] == "split" && row["sends"].as_array().unwrap().len() == 1
    };
    assert!(rows.iter().filter(alone).any(|row| dcor(row) > 0.5));
    let psnr = |name: &str| found["inversion"][name].as_f64().unwrap();
    assert!(psnr("psnr_db") > psnr("blind_db"), "{}", found["inversion"]);
    let quiet = split(&[&data[..], &["--max-dcor", "0"]].concat());
    assert_eq!(quiet["chosen"]["placement"], "local");
}

#[test]
fn limits_and_wrong_input_are_explained() {
    let base = [&["split", text(model()), "--link", "5,40"], &SERVER[..]].concat();
    let output = edgecut(&[&base[..], &["--max-latency", "0"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no candidate keeps within"));
    let little = split(&["--link", "5,40", "--max-memory", "4kB"]);
    assert!(little["chosen"]["memory_bytes"].as_u64().unwrap() <= 4000, "{}", little["chosen"]);
    let cheap = split(&["--link", "5,40", "--objective", "server", "--max-latency", "1000"]);
    assert_eq!(cheap["chosen"]["placement"], "local");
    for (options, says) in [
        (&["--link", "5"][..], "add the round-trip time"),
        (&["--link", "0,5"], "allowed are"),
        (&["--link", "none.json"], "none.json"),
        (&["--link", "5,40", "--at", "nowhere"], "there are"),
        (&["--link", "5,40", "--device", "none.json"], "none.json"),
        (&["--link", "5,40", "--device", "2x"], "needs a device to refer to"),
        (&["--link", "5,40", "--out-codec", "c"], "--data"),
        (&["--link", "5,40", "--out-head", "head.png"], "no format"),
        (&["--link", "5,40", "--bits", "9"], "--bits"),
        (&["--link", "5,40", "--max-dcor", "2"], "--max-dcor"),
        (&["--link", "5,40", "--privacy"], "--data"),
        (&["--link", "5,40", "--wire", "plain", "--out-tail", "t.onnx"], "--data"),
        (
            &["--link", "5,40", "--wire", "plain", "--data", text(toy()), "--out-codec", "c"],
            "has no codec",
        ),
    ] {
        let message = refuse(&[&["split", text(model())], &SERVER[..], options].concat());
        assert!(message.contains(says), "{options:?}: {message}");
    }
    assert!(refuse(&["split", "no.onnx", "--link", "5,40", "--server", "2x"]).contains("no.onnx"));
}

#[test]
fn plans_hold_what_both_halves_need() {
    let folder = scratch().join("plans");
    let data = ["--data", text(toy()), "--images", "4", "--check", "4"];
    let out = ["--link", "5,40", "--out-plans", text(&folder)];
    let found = split(&[&data[..], &out[..]].concat());
    let plans = Plans::read(&folder).unwrap();
    assert_eq!(found["plans"].as_array().unwrap().len(), plans.plans.len());
    let placed = |placement| plans.plans.iter().filter(move |p| p.times.placement == placement);
    for placement in [Placement::Local, Placement::Raw, Placement::Picture] {
        assert_eq!(placed(placement).count(), 1, "{placement:?}");
    }
    assert!(placed(Placement::Split).count() <= 8);
    // Everything is read, and every cut computes what the model does.
    let mut warm = Warm::load(&folder, &plans, 1).unwrap();
    let input = [Tensor::zeros(warm.inputs()[0].shape.clone()).unwrap()];
    let whole = warm.whole(&input).unwrap();
    for (index, plan) in plans.plans.iter().enumerate().filter(|(_, plan)| plan.cut.is_some()) {
        let made = warm.head(index, &input).unwrap();
        assert_eq!(warm.rest(index, &input, &made).unwrap(), whole, "{plan:?}");
    }
    // Again over the old ones, but not over anything else.
    split(&[&data[..], &out[..]].concat());
    std::fs::remove_file(folder.join("plans.json")).unwrap();
    let again = [&["split", text(model())], &SERVER[..], &data[..], &out[..]].concat();
    assert!(refuse(&again).contains("no plans"));
}

/// Names of tensors that can be cut at alone.
fn cuts() -> Vec<String> {
    let all = split(&["--link", "5,40"]);
    let rows = all["candidates"].as_array().unwrap();
    let split = rows.iter().filter(|r| r["placement"] == "split").map(|r| &r["sends"]);
    let alone = split.filter(|sends| sends.as_array().unwrap().len() == 1);
    alone.map(|sends| sends[0].as_str().unwrap().to_string()).collect()
}

#[test]
fn what_crosses_plain_needs_no_codec() {
    let [head, tail] = ["plain-head.onnx", "plain-tail.onnx"].map(|name| scratch().join(name));
    let cuts = cuts();
    let name = &cuts[cuts.len() / 2];
    let data = ["--data", text(toy()), "--images", "12", "--check", "30", "--wire", "plain"];
    let out = ["--out-head", text(&head), "--out-tail", text(&tail)];
    let found = split(&[&["--link", "5,40", "--at", name], &data[..], &out[..]].concat());
    assert_eq!((&found["wire"], &found["bits"]), (&"plain".into(), &8.into()));
    assert_eq!(found["check"]["bits_per_element"], 8.0);
    assert_eq!(found["check"]["same_from_half"], serde_json::Value::Null);
    assert!(found["check"]["same"]["percent"].as_f64().unwrap() > 90.0, "{}", found["check"]);
    let whole = onnx::import(model()).unwrap();
    let (head, tail) = (onnx::import(&head).unwrap(), onnx::import(&tail).unwrap());
    assert_eq!(tail.value(tail.inputs[0]).dtype, DType::U8);
    let shape = whole.value(whole.inputs[0]).shape.with_symbols(1);
    let picture = Tensor::zeros(shape).unwrap();
    let crossing = run(&head, std::slice::from_ref(&picture));
    // What was planned with is what is sent.
    assert_eq!(found["chosen"]["bytes"].as_u64().unwrap(), crossing.len() as u64);
    let answer = run(&tail, &[crossing]).to_f32();
    let whole = run(&whole, &[picture]).to_f32();
    let apart = answer.iter().zip(&whole).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 0.3, "{answer:?} instead of {whole:?}");
}
