//! `edgecut bottleneck`.

mod common;

use common::{json, model, refuse, scratch, text, toy};
use edgecut_collab::codec::Codec;
use edgecut_graph::{DType, Tensor, interpret, onnx};

#[test]
fn a_narrow_place_learns_and_is_cut_into_a_head_a_tail_and_a_codec() {
    let out = scratch().join("narrow");
    let base = ["bottleneck", text(model()), "--data", text(toy()), "--out", text(&out)];
    let place = ["--stride", "4", "--channels", "4", "--decoder", "16", "--share", "0.5"];
    let training = ["--epochs", "8", "--batch", "16", "--flip", "false", "--ema-decay", "0.9"];
    let prices = ["--prices", "0.0001,0.01", "--jpeg", "20,80", "--check", "30"];
    let found = json(&[&base[..], &place, &training, &prices].concat());
    let [cheap, dear] = [&found["narrow"][0], &found["narrow"][1]];
    let percent = |of: &serde_json::Value| of["top1"]["percent"].as_f64().unwrap();
    assert!(percent(cheap) > 55.0, "{cheap}");
    let bytes = |of: &serde_json::Value| of["bytes"].as_f64().unwrap();
    assert!(bytes(dear) < bytes(cheap), "{dear} {cheap}");
    let [whole, own] = [0, 1].map(|i| found["macs"][i].as_u64().unwrap());
    assert!(own > 0 && own as f64 <= 0.5 * whole as f64);
    let jpeg = found["jpeg"].as_array().unwrap();
    assert!(jpeg.iter().all(|j| bytes(j) > j["scan_bytes"].as_f64().unwrap()));
    assert!(bytes(&jpeg[0]) < bytes(&jpeg[1]));
    // The files do what the network does.
    let folder = out.join("price-0.0001");
    let file = |name: &str| folder.join(name);
    let [network, head, tail] =
        ["network.onnx", "head.onnx", "tail.onnx"].map(|name| onnx::import(&file(name)).unwrap());
    let codec = Codec::from_bytes(&std::fs::read(file("cut.codec")).unwrap()).unwrap();
    let shape = network.value(network.inputs[0]).shape.with_symbols(1);
    let picture = [Tensor::zeros(shape).unwrap()];
    let codes = interpret::run(&head, &picture).unwrap();
    assert_eq!((codes[0].dtype(), codes[0].shape()), (DType::I8, &[1, 4, 4, 4][..]));
    let received = codec.decode(&codec.encode(&codes[0]).unwrap()).unwrap().tensor;
    assert_eq!(received, codes[0]);
    assert_eq!(
        interpret::run(&tail, &[received]).unwrap(),
        interpret::run(&network, &picture).unwrap()
    );
    assert!(out.join("report.json").exists());
    for (options, says) in [
        (&["--at", "nowhere"][..], "there are"),
        (&["--stride", "3"], "stride of 3"),
        (&["--prices=-1"], "--prices"),
        (&["--alpha", "2"], "--alpha is 2"),
        (&["--share", "0.000001"], "multiply-adds"),
    ] {
        let message = refuse(&[&base[..], options].concat());
        assert!(message.contains(says), "{options:?}: {message}");
    }
}
