//! Models of any format and shape: inspect, convert, run.

mod common;

use std::path::{Path, PathBuf};

use common::{grey_picture, json, model, refuse, scratch, succeed, text, toy, toy_int8};
use edgecut_graph::{Builder, DType, Graph, Op, Shape, Tensor, onnx};

/// A classifier of `classes` with inputs of `[n, 1, h, w]`; open where they are symbols.
fn pooled(name: &str, [h, w]: [edgecut_graph::Dim; 2], classes: usize) -> Graph {
    let mut b = Builder::new(name, 3);
    let x = b.input("image", ["n".into(), 1.into(), h, w]);
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "scores", classes).unwrap();
    b.finish(&[x]).unwrap()
}

fn saved(graph: &Graph, file: &str) -> PathBuf {
    let path = scratch().join(file);
    onnx::export(graph, &path).unwrap();
    path
}

fn npy(file: &str, shape: &[usize], values: Vec<f32>) -> PathBuf {
    let path = scratch().join(file);
    let tensor = Tensor::new(shape.to_vec(), values).unwrap();
    edgecut_testkit::write_npy(&path, &tensor).unwrap();
    path
}

#[test]
fn inspect_writes_one_self_contained_page() {
    let page = scratch().join("page.html");
    let out = succeed(&["inspect", text(model()), "--html", text(&page), "--passes"]);
    assert!(out.contains("page.html written") && out.contains('█'), "{out}");
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains(" src="));
    assert!(html.contains("<svg class=\"graph\"") && html.contains("Memory over time"));
    assert!(html.contains("Canonical form") && html.contains("fold_batch_norm"));
    let (_, rest) = html.split_once("id=\"details\">").unwrap();
    let details: serde_json::Value =
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap();
    let boxes = details["boxes"].as_array().unwrap();
    assert_eq!(html.matches("<g class=").count(), boxes.len());
    // The same bytes every time.
    succeed(&["inspect", text(model()), "--html", text(&page), "--passes"]);
    assert_eq!(std::fs::read_to_string(&page).unwrap(), html);
    let message = refuse(&["inspect", text(model()), "--html", "no/such/page.html"]);
    assert!(message.contains("folder does not exist"), "{message}");
}

#[test]
fn inspect_shows_what_passes_did() {
    let o = json(&["inspect", text(model()), "--passes"]);
    let rewrites = &o["rewrites"];
    let passes = rewrites["passes"].as_array().unwrap();
    let folded = passes.iter().find(|p| p["pass"] == "fold_batch_norm").unwrap();
    assert!(
        folded["rewrites"].as_u64().unwrap() > 0 && !folded["nodes"].as_array().unwrap().is_empty()
    );
    assert!(rewrites["max_rel"].as_f64().unwrap() < 1e-4);
    assert!(rewrites["nodes_after"].as_u64() < rewrites["nodes_before"].as_u64());
    let verbose = succeed(&["inspect", text(model()), "--passes", "-v"]);
    assert!(verbose.contains("nothing found by"), "{verbose}");
    // What is canonical stays as it is.
    let canonical = scratch().join("canonical.onnx");
    succeed(&["convert", text(model()), text(&canonical), "--canonical"]);
    let o = json(&["inspect", text(&canonical), "--passes"]);
    assert_eq!(o["rewrites"]["passes"].as_array().unwrap().len(), 0, "{}", o["rewrites"]);
}

#[test]
fn differences_of_a_float_and_an_int8_model() {
    let int8 = toy_int8();
    let o = json(&["inspect", text(model()), "--diff", text(&int8)]);
    let diff = &o["diff"];
    let changed = diff["weights"]["changed"].as_array().unwrap();
    assert!(!changed.is_empty());
    let layer = changed.iter().find(|c| c["input"] == 1).unwrap();
    assert!(layer["a"].as_str().unwrap().starts_with("float32"));
    assert!(layer["b"].as_str().unwrap().starts_with("int8"));
    assert!(diff["operators"]["QuantizeLinear"][1]["nodes"].as_u64().unwrap() > 0);
    let outputs = diff["outputs"]["compared"].as_array().unwrap();
    let relative = outputs[0][1]["relative"].as_f64().unwrap();
    assert!(relative > 0.0 && relative < 0.5, "{relative}");
    // Both ways to say it, and what is wrong.
    let both = json(&["inspect", "--diff", text(model()), text(&int8)]);
    assert_eq!(both["diff"], *diff);
    assert!(refuse(&["inspect", "--diff", text(model())]).contains("compares two models, got 1"));
    assert!(
        succeed(&["inspect", text(model()), "--diff", text(&int8)]).contains("weights of these")
    );
}

#[test]
fn a_model_does_not_differ_from_itself() {
    let o = json(&["inspect", "--diff", text(model()), text(model())]);
    let diff = &o["diff"];
    for list in ["removed", "added", "ports", "requantised"] {
        assert!(diff[list].as_array().unwrap().is_empty(), "{list}");
    }
    assert!(diff["weights"]["equal"].as_u64().unwrap() > 5);
    assert_eq!(diff["outputs"]["compared"][0][1]["max_abs"], 0.0);
}

#[test]
fn models_survive_the_way_to_tflite_and_back() {
    let int8 = toy_int8();
    for (from, relative) in [(model(), 1e-5), (&*int8, 0.05)] {
        let (there, back) = (scratch().join("there.tflite"), scratch().join("back.onnx"));
        let o = json(&["convert", text(from), text(&there)]);
        assert_eq!(o["to_bytes"].as_u64().unwrap(), std::fs::metadata(&there).unwrap().len());
        succeed(&["convert", text(&there), text(&back)]);
        let o = json(&["inspect", "--diff", text(from), text(&back)]);
        let apart = &o["diff"]["outputs"]["compared"][0][1];
        assert!(
            apart["relative"].as_f64().unwrap() < relative,
            "{}: {}",
            from.display(),
            o["diff"]
        );
    }
}

#[test]
fn convert_says_what_it_cannot_write() {
    let place = scratch().join("model.pb");
    let message = refuse(&["convert", text(model()), text(&place)]);
    assert!(message.contains("'.pb' is no format") && message.contains(".tflite"), "{message}");
    let place = scratch().join("external.tflite");
    let message = refuse(&["convert", text(model()), text(&place), "--external-data"]);
    assert!(message.contains("only ONNX") && !place.exists(), "{message}");
    let place = scratch().join("external.onnx");
    succeed(&["convert", text(model()), text(&place), "--external-data"]);
    assert!(scratch().join("external.onnx.data").exists());
    let o = json(&["inspect", "--diff", text(model()), text(&place)]);
    assert_eq!(o["diff"]["outputs"]["compared"][0][1]["max_abs"], 0.0);
    assert!(
        refuse(&["convert", text(model()), "no/such/model.onnx"]).contains("folder does not exist")
    );
}

#[test]
fn open_shapes_come_from_the_option_or_from_what_is_fed() {
    let open = saved(&pooled("open", ["h".into(), "w".into()], 3), "open.onnx");
    for verb in ["inspect", "bench"] {
        let message = refuse(&[verb, text(&open)]);
        assert!(message.contains("--shape image=1x1x224x224"), "{verb}: {message}");
    }
    let o = json(&["inspect", text(&open), "--shape", "1x1x20x30"]);
    assert_eq!(o["inputs"][0]["shape"], "[1, 1, 20, 30]");
    let o = json(&["bench", text(&open), "--shape", "image=2x1x8x8", "--runs", "3"]);
    assert_eq!(o["model"]["batch"], 2);
    for (shape, problem) in [
        ("1x1x20", "cannot be"),
        ("other=1x1x2x2", "says no input"),
        ("1x2x8x8", "cannot be"),
        ("1x1x0x8", "expected extents"),
    ] {
        let message = refuse(&["inspect", text(&open), "--shape", shape]);
        assert!(message.contains(problem), "{shape}: {message}");
    }
    // Arrays and pictures bring their own.
    let array = npy("open.npy", &[2, 1, 5, 7], vec![0.5; 70]);
    assert_eq!(json(&["run", text(&open), text(&array)]).as_array().unwrap().len(), 2);
    let picture = toy().join("test/along/3.png");
    let o = json(&["run", text(&open), text(&picture), "--preprocess", "pixels"]);
    assert_eq!(o[0]["top"].as_array().unwrap().len(), 3);
}

#[test]
fn several_inputs_in_order_or_by_name() {
    let mut b = Builder::new("two", 0);
    let x = b.input("a", ["n".into(), 2.into(), "w".into()]);
    let y = b.input("b", ["n".into(), 2.into(), "w".into()]);
    let z = b.apply("difference", Op::Binary(edgecut_graph::Binary::Sub), &[x, y]).unwrap();
    let two = saved(&b.finish(&[z, x]).unwrap(), "two.onnx");
    let (a, b) = (npy("a.npy", &[1, 2, 2], vec![5.0; 4]), npy("b.npy", &[1, 2, 2], vec![2.0; 4]));
    let named = [format!("b={}", text(&b)), format!("a={}", text(&a))];
    let out = scratch().join("z.npy");
    for files in [[text(&a), text(&b)], [&named[0], &named[1]], [&named[0], text(&a)]] {
        let o = json(&["run", text(&two), files[0], files[1], "--output", text(&out)]);
        let outputs = o[0]["outputs"].as_array().unwrap();
        assert_eq!((outputs.len(), outputs[0]["mean"].as_f64()), (2, Some(3.0)), "{files:?}");
        let z = edgecut_testkit::read_npy(&out).unwrap();
        assert_eq!((z.shape(), z.f32s().unwrap()), (&[1, 2, 2][..], &[3.0; 4][..]));
        let x = edgecut_testkit::read_npy(&scratch().join("z.1.npy")).unwrap();
        assert_eq!(x.f32s().unwrap(), [5.0; 4]);
    }
    assert!(refuse(&["run", text(&two), text(&a)]).contains("the inputs are a, b"));
    assert!(refuse(&["run", text(&two), &named[0], &named[0]]).contains("given twice"));
    let other = npy("other.npy", &[1, 2, 3], vec![2.0; 6]);
    let message = refuse(&["run", text(&two), text(&a), text(&other)]);
    assert!(message.contains("'b'"), "{message}");
    let picture = toy().join("test/along/3.png");
    assert!(refuse(&["run", text(&two), text(&picture)]).contains("2 inputs"));
    assert!(refuse(&["run", text(&two), text(&a), text(&picture)]).contains("mixed"));
}

/// The pooled classifier with a uint8 input whose codes stand for `(q - 128) / 128`.
fn quantised_input() -> PathBuf {
    let float = pooled("codes", [16.into(), 16.into()], 3);
    let mut graph = Graph::new("codes");
    let input = graph.add_input("pixels", DType::U8, Shape::fixed(&[1, 1, 16, 16]));
    let scale = graph.add_constant("scale", Tensor::scalar(1.0 / 128.0));
    let zero = graph.add_constant("zero", Tensor::new([], vec![128u8]).unwrap());
    let parts = [Some(input), Some(scale), Some(zero)];
    let mut value = graph.add_node("real", Op::Dequantize { axis: 0 }, &parts).unwrap();
    for node in &float.nodes {
        let mut operands = vec![Some(value)];
        for id in node.inputs.iter().skip(1).flatten() {
            let constant = float.value(*id);
            let tensor = constant.constant.clone().unwrap();
            operands.push(Some(graph.add_constant(constant.name.clone(), tensor)));
        }
        value = graph.add_node(node.name.clone(), node.op.clone(), &operands).unwrap();
    }
    graph.outputs = vec![value];
    saved(&graph, "codes.onnx")
}

#[test]
fn eight_bit_inputs_take_pixels() {
    let codes = quantised_input();
    let shown = succeed(&["inspect", text(&codes)]);
    assert!(shown.contains("uint8 [1, 1, 16, 16] = 0.0078125 * (q - 128)"), "{shown}");
    let picture = toy().join("test/along/3.png");
    let scores = |extra: &[&str]| {
        let out = scratch().join("codes.npy");
        let all = ["run", text(&codes), text(&picture), "--output", text(&out)];
        succeed(&[&all, extra].concat());
        edgecut_testkit::read_npy(&out).unwrap()
    };
    // Bytes as they are, whether asked for or because nothing else is said; and the numbers that
    // they stand for are (p - 128) / 128.
    let auto = scores(&["--fit", "stretch"]);
    assert_eq!(auto, scores(&["--preprocess", "pixels", "--fit", "stretch"]));
    let description = scratch().join("codes.json");
    let body = r#"{"height":16,"width":16,"channels":"gray","resize":{"policy":"exact"},
        "scale":1.0,"mean":[128.0],"std":[128.0]}"#;
    std::fs::write(&description, body).unwrap();
    assert_eq!(auto, scores(&["--preprocess", text(&description)]));
    assert_ne!(auto, scores(&["--fit", "crop"]));
    let o = json(&["eval", text(&codes), "--data", text(toy())]);
    assert_eq!((o["images"].as_u64(), o["model"]["label_offset"].as_u64()), (Some(60), Some(0)));
}

#[test]
fn preprocessing_is_chosen_and_checked() {
    let plain = saved(&pooled("plain", [12.into(), 20.into()], 3), "plain.onnx");
    let picture = toy().join("test/along/3.png");
    let run = |choice: &str| {
        vec![
            "run".to_string(),
            text(&plain).into(),
            text(&picture).into(),
            format!("--preprocess={choice}"),
        ]
    };
    let refused = |choice: &str| {
        let args = run(choice);
        refuse(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(refused("auto").contains("say it: --preprocess"));
    assert!(refused("nosuch").contains("known: auto, torchvision"));
    assert!(refused("torchvision").contains("makes 3x12x20"));
    assert!(refused("absent.json").contains("absent.json"));
    let broken = scratch().join("broken.json");
    std::fs::write(&broken, "{\"height\": 3}").unwrap();
    assert!(refused(text(&broken)).contains("missing field"));
    let args = run("tf");
    succeed(&args.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_background_class_is_noticed() {
    let net = saved(&pooled("background", [16.into(), 16.into()], 1001), "background.onnx");
    let data = ["--data", text(toy()), "--preprocess", "pixels"];
    let o = json(&[&["eval", text(&net)], &data[..]].concat());
    assert_eq!(o["model"]["label_offset"], 1);
    let shown = succeed(&[&["eval", text(&net)], &data[..]].concat());
    assert!(shown.contains("class 0 of the data is output 1"), "{shown}");
    let o = json(&[&["eval", text(&net), "--label-offset", "0"], &data[..]].concat());
    assert_eq!(o["model"]["label_offset"], 0);
    let message = refuse(&[&["eval", text(&net), "--label-offset", "1001"], &data[..]].concat());
    assert!(message.contains("leaves no class"), "{message}");
}

#[test]
fn what_the_zoo_builds_can_be_inspected() {
    let place = scratch().join("zoo.onnx");
    let o = json(&["zoo", "mobilenet-v2-s28", "--classes", "4", "--out", text(&place)]);
    assert_eq!(json(&["inspect", text(&place)])["parameters"], o["parameters"]);
    assert!(refuse(&["zoo", "mobilenet-v2", "--out", "x.pb"]).contains("no format"));
}

#[test]
fn pictures_of_several_sizes_need_one_shape_for_their_maps() {
    let mut b = Builder::new("map", 1);
    let x = b.input("image", ["n".into(), 1.into(), "h".into(), "w".into()]);
    let y = b.relu(x).unwrap();
    let map = saved(&b.finish(&[y]).unwrap(), "map.onnx");
    let (small, large) = (scratch().join("small.png"), scratch().join("large.png"));
    grey_picture(&small, 8, 6);
    grey_picture(&large, 10, 6);
    let run = |files: &[&Path], extra: &[&str]| {
        let mut args = vec!["run", text(&map), "--preprocess", "pixels"];
        args.extend(files.iter().map(|f| text(f)));
        args.extend(extra);
        common::edgecut(&args)
    };
    assert!(run(&[&small], &[]).status.success() && run(&[&small, &small], &[]).status.success());
    let output = run(&[&small, &large], &[]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("--shape"), "{message}");
    assert!(run(&[&small, &large], &["--shape", "1x1x8x8"]).status.success());
}

#[test]
fn quantised_probabilities_are_probabilities() {
    let mut b = Builder::new("probabilities", 3);
    let x = b.input("image", ["n".into(), 1.into(), 16.into(), 16.into()]);
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "scores", 3).unwrap();
    let x = b.apply("softmax", Op::Softmax { axis: 1 }, &[x]).unwrap();
    let scale = b.constant("scale", Tensor::scalar(1.0 / 256.0));
    let zero = b.constant("zero", Tensor::new([], vec![0u8]).unwrap());
    let x = b.apply("codes", Op::Quantize { axis: 0 }, &[x, scale, zero]).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let net = saved(&graph, "probabilities.onnx");
    let picture = toy().join("test/along/3.png");
    let o = json(&["run", text(&net), text(&picture), "--preprocess", "pixels", "--top", "1"]);
    let best = &o[0]["top"][0];
    let (score, percent) = (best["score"].as_f64(), best["probability_percent"].as_f64());
    assert_eq!(score.map(|s| (100.0 * s).round()), percent.map(f64::round), "{best}");
}
