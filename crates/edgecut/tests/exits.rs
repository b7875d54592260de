//! `edgecut exits`.

mod common;

use common::{json, model, refuse, scratch, succeed, text, toy};
use edgecut_graph::{Tensor, interpret, onnx};

#[test]
fn exits_answer_on_the_way_and_are_certified() {
    let whole = onnx::import(model()).unwrap();
    let images = whole.nodes.iter().map(|node| whole.value(node.output()));
    let images: Vec<&str> =
        images.filter(|v| v.shape.rank() == 4).map(|v| v.name.as_str()).collect();
    let after = format!("{},{}", images[images.len() / 3], images[2 * images.len() / 3]);
    let out = scratch().join("exits.onnx");
    let base = ["exits", text(model()), "--data", text(toy()), "--after", &after];
    let training = ["--epochs", "6", "--batch", "16", "--flip", "false", "--ema-decay", "0"];
    let found = json(&[&base[..], &training, &["--out", text(&out)]].concat());
    let [first, second] = [&found["exits"][0], &found["exits"][1]];
    assert!(first["macs"].as_f64() < second["macs"].as_f64());
    assert!(second["top1"]["percent"].as_f64().unwrap() > 40.0, "{second}");
    // The network's own answer is the same, to the bit.
    let with = onnx::import(&out).unwrap();
    assert_eq!(with.outputs.len(), 3);
    let picture = [Tensor::zeros(whole.value(whole.inputs[0]).shape.with_symbols(1)).unwrap()];
    let answers = interpret::run(&with, &picture).unwrap();
    assert_eq!(answers[2], interpret::run(&whole, &picture).unwrap()[0]);
    let own = ["cascade", text(&out), text(&out), "--data", text(toy()), "--part", "all"];
    let found = json(&[&own[..], &["--epsilon", "0.1", "--delta", "0.1"]].concat());
    assert_eq!(found["certificate"]["thresholds"].as_array().unwrap().len(), 2);
    assert_eq!(found["test"]["exits"].as_array().unwrap().len(), 2);
    assert!(succeed(&["inspect", text(&out)]).contains("exit.0"));
    let message = refuse(&["exits", text(model()), "--data", text(toy()), "--after", "nowhere"]);
    assert!(
        message.contains("there is no such value") && message.contains("there are"),
        "{message}"
    );
}
