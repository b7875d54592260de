//! The verb `zoo`: the list, and an architecture with weights from a file.

mod common;

use std::path::PathBuf;

use common::{refuse, scratch, succeed, text};
use edgecut_graph::{Graph, onnx};
use edgecut_zoo::Options;
use serde_json::{Value, json};

fn tiny(seed: u64) -> Graph {
    edgecut_zoo::build("resnet-8", &Options { seed, ..Options::default() }).unwrap()
}

/// The weights of `graph` as a safetensors file with one tensor more.
fn weights(graph: &Graph, name: &str) -> PathBuf {
    let (mut header, mut data) = (serde_json::Map::new(), vec![]);
    let mut add = |name: &str, shape: &[usize], values: &[f32]| {
        let start = data.len();
        values.iter().for_each(|v| data.extend(v.to_le_bytes()));
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.into(), entry);
    };
    for value in graph.values() {
        if let Some(tensor) = &value.constant {
            add(&value.name, tensor.shape(), &tensor.to_f32());
        }
    }
    add("extra.weight", &[1], &[0.0]);
    let header = Value::Object(header).to_string();
    let path = scratch().join(name);
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    std::fs::write(&path, file).unwrap();
    path
}

#[test]
fn the_list_says_what_each_costs() {
    let list: Value = serde_json::from_str(&succeed(&["zoo", "--json"])).unwrap();
    let find = |name: &str| {
        let row = list.as_array().unwrap().iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("{name}")).clone()
    };
    let row = find("mobilenet-v3-large");
    assert_eq!(row["parameters"], 5_483_032);
    assert_eq!(row["input"], "3x224x224");
    assert_eq!(row["arxiv"], "1905.02244");
    assert!(row["macs"].as_u64().unwrap() > 200_000_000);
    // The input and the first map at least.
    assert!(find("resnet-8")["peak_activation_bytes"].as_u64().unwrap() > 4 * (3 + 16) * 32 * 32);
    let table = succeed(&["zoo"]);
    for row in list.as_array().unwrap() {
        assert!(table.contains(&format!(" {} ", row["name"].as_str().unwrap())), "{table}");
    }
    let widest = table.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|columns| columns <= 100), "{widest:?}\n{table}");
}

#[test]
fn weights_of_a_file_become_a_model() {
    let (file, out) = (weights(&tiny(5), "resnet-8.safetensors"), scratch().join("resnet-8.onnx"));
    let told = succeed(&["zoo", "ResNet_8", "--weights", text(&file), "--out", text(&out)]);
    assert!(told.contains("1 in the file are unused: extra.weight"), "{told}");
    let (written, expected) = (onnx::import(&out).unwrap(), tiny(5));
    for value in expected.values().iter().filter(|v| v.constant.is_some()) {
        let found = written.find_value(&value.name).and_then(|id| written.constant(id).cloned());
        assert_eq!(found, value.constant, "{}", value.name);
    }
    let report = succeed(&["zoo", "resnet-8", "--weights", text(&file), "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    // Nine convolutions with biases, seven BatchNorms, the classifier.
    assert_eq!(
        (&report["loaded"], &report["unused"]),
        (&json!(9 * 2 + 7 * 4 + 2), &json!(["extra.weight"]))
    );
}

#[test]
fn options_shape_the_model() {
    let out = scratch().join("small.onnx");
    let args = ["zoo", "ds-cnn-s", "--classes", "3", "--width", "0.5", "--seed", "4", "--out"];
    succeed(&[&args[..], &[text(&out)]].concat());
    let graph = onnx::import(&out).unwrap();
    assert_eq!(graph.value(graph.outputs[0]).shape.to_string(), "[batch, 3]");
    let id = graph.find_value("conv1.weight").unwrap();
    assert_eq!(graph.constant(id).unwrap().shape(), [32, 1, 10, 4]);
}

#[test]
fn bad_names_options_and_files_are_refused() {
    assert!(refuse(&["zoo", "mobilnet-v2"]).contains("did you mean 'mobilenet-v2'"));
    assert!(refuse(&["zoo", "resnet-8", "--width", "99"]).contains("width is 99"));
    assert!(refuse(&["zoo", "squeezenet-1.0", "--resolution", "4"]).contains("exceeds its input"));
    let (file, out) = (weights(&tiny(1), "ten.safetensors"), scratch().join("never.onnx"));
    let seven =
        ["zoo", "resnet-8", "--classes", "7", "--weights", text(&file), "--out", text(&out)];
    let message = refuse(&seven);
    assert!(message.contains("linear.weight is [10, 64] in the file and [7, 64]"), "{message}");
    let evil = scratch().join("evil.pth");
    std::fs::write(&evil, b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R.").unwrap();
    let message = refuse(&["zoo", "resnet-8", "--weights", text(&evil), "--out", text(&out)]);
    assert!(message.contains("os.system") && message.contains("nothing was executed"), "{message}");
    let message = refuse(&["zoo", "resnet-8", "--weights", "missing.pth", "--out", text(&out)]);
    assert!(message.contains("missing.pth"), "{message}");
    assert!(!out.exists());
}
