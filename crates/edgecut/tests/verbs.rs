//! The verbs on a small trained model.

mod common;

use common::{json, model, refuse, scratch, succeed, text, toy, toy_int8};

#[test]
fn inspect_counts() {
    let o = json(&["inspect", text(model()), "--nodes"]);
    assert!(o["parameters"].as_u64().unwrap() > 1000 && o["macs"].as_u64().unwrap() > 10_000);
    assert_eq!(o["inputs"][0]["shape"], "[batch, 1, 16, 16]");
    assert_eq!(
        o["nodes"].as_array().unwrap().len() as u64,
        o["operators"]
            .as_object()
            .unwrap()
            .values()
            .map(|k| k["nodes"].as_u64().unwrap())
            .sum::<u64>()
    );
    assert!(succeed(&["inspect", text(model()), "--nodes"]).contains("multiply-adds"));
}

#[test]
fn eval_measures_and_compares() {
    let int8 = toy_int8();
    let o = json(&["eval", text(model()), "--data", text(toy()), "--against", text(&int8)]);
    assert_eq!(o["images"], 60);
    assert!(o["model"]["top1"]["percent"].as_f64().unwrap() > 60.0, "{}", o["model"]["top1"]);
    assert!(o["agreement"]["percent"].as_f64().unwrap() > 90.0);
    assert_eq!(o["model"]["classes"].as_array().unwrap().len(), 3);
    let all =
        json(&["eval", text(model()), "--data", text(toy()), "--part", "all", "--limit", "100"]);
    assert_eq!(all["images"], 100);
    let table = succeed(&["eval", text(model()), "--data", text(toy())]);
    assert!(table.contains("recall") && table.contains("square"), "{table}");
    assert!(
        refuse(&["eval", text(model()), "--data", text(toy()), "--preprocess", "torchvision"])
            .contains("makes 3x16x16")
    );
}

#[test]
fn bench_reports_quantiles() {
    let int8 = toy_int8();
    let o = json(&["bench", text(&int8), "--against", text(model()), "--runs", "20", "--profile"]);
    for side in ["model", "against"] {
        let t = &o[side]["latency"];
        assert!(
            t["min_ms"].as_f64() <= t["median_ms"].as_f64()
                && t["median_ms"].as_f64() <= t["p99_ms"].as_f64()
        );
        assert!(
            o[side]["weight_bytes"].as_u64().unwrap() > 0
                && o[side]["activation_bytes"].as_u64().unwrap() > 0
        );
        let steps = o[side]["profile"]["steps"].as_array().unwrap();
        let figure = |step: &serde_json::Value, name: &str| step[name].as_f64().unwrap();
        for step in steps {
            let reached = 100.0 * figure(step, "roof_us") / figure(step, "median_us");
            assert!((figure(step, "roofline") - reached).abs() < 1e-6 * reached, "{step}");
            assert!(figure(step, "weight_bytes") <= figure(step, "bytes"), "{step}");
        }
        let conv = steps.iter().find(|s| s["macs"].as_u64() > Some(0)).unwrap();
        assert!(figure(conv, "intensity") > 0.0 && figure(conv, "roof_us") > 0.0, "{conv}");
    }
    assert!(o["roofs"]["f32_gmacs"].as_f64().unwrap() > 0.0);
    assert!(o["speedup"].as_f64().unwrap() > 0.0);
    let shown = succeed(&["bench", text(model()), "--runs", "5", "--profile"]);
    assert!(shown.contains("median") && shown.contains("GMAC/s"), "{shown}");
}

#[test]
fn a_profile_is_one_page_that_asks_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("profile.html");
    let shown = succeed(&["bench", text(model()), "--runs", "3", "--profile-html", text(&path)]);
    assert!(shown.contains("profile.html written"), "{shown}");
    let page = std::fs::read_to_string(&path).unwrap();
    let o = json(&["bench", text(model()), "--runs", "3", "--profile"]);
    for step in o["model"]["profile"]["steps"].as_array().unwrap() {
        assert!(page.contains(step["name"].as_str().unwrap()), "{step}");
    }
    for request in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(request), "the page has {request}");
    }
    let missing = folder.path().join("no/such/profile.html");
    refuse(&["bench", text(model()), "--profile-html", text(&missing)]);
}

#[test]
fn run_classifies_pictures() {
    let picture = toy().join("test/along/3.png");
    let o = json(&["run", text(model()), text(&picture), "--top", "2"]);
    let top = o[0]["top"].as_array().unwrap();
    assert_eq!(top.len(), 2);
    assert!(top[0]["probability_percent"].as_f64() >= top[1]["probability_percent"].as_f64());
    let labels = scratch().join("labels.txt");
    std::fs::write(&labels, "one\ntwo\nthree\n").unwrap();
    let table = succeed(&["run", text(model()), text(&picture), "--labels", text(&labels)]);
    assert!(table.contains("two") && table.contains("three"), "{table}");
}

#[test]
fn arrays_in_and_out() {
    let picture = toy().join("test/along/3.png");
    let logits = scratch().join("logits.npy");
    succeed(&["run", text(model()), text(&picture), "--output", text(&logits)]);
    let array = std::fs::read(&logits).unwrap();
    let header = String::from_utf8_lossy(&array[..128]).replace([' ', ','], "");
    assert!(array.starts_with(b"\x93NUMPY") && header.contains("(13)"), "{header}");
    // A [1, 3] array is not an input of this model.
    let message = refuse(&["run", text(model()), text(&logits)]);
    assert!(message.contains("cannot be [1, 3]"), "{message}");
    let zeros = scratch().join("zeros.npy");
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 16, 16), }}{}\n",
        " ".repeat(37)
    );
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; 2 * 256 * 4]);
    std::fs::write(&zeros, bytes).unwrap();
    let o = json(&["run", text(model()), text(&zeros)]);
    assert_eq!(o.as_array().unwrap().len(), 2, "one answer per row");
}

#[test]
fn quantize_shrinks_and_is_the_same_on_any_number_of_threads() {
    let (one, two) = (scratch().join("one.onnx"), scratch().join("two.onnx"));
    for (path, threads) in [(&one, "1"), (&two, "2")] {
        let o = json(&[
            "quantize",
            text(model()),
            "--data",
            text(toy()),
            "--images",
            "50",
            "--threads",
            threads,
            "--out",
            text(path),
        ]);
        assert!(o["int8_bytes"].as_u64() < o["float_bytes"].as_u64());
    }
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
}

#[test]
fn a_device_is_measured_once_and_predicts_models() {
    let folder = scratch();
    let (profile, net) = (folder.join("here.json"), folder.join("net.onnx"));
    let measured = json(&[
        "device",
        "measure",
        "--net",
        "s28",
        "--each",
        "0.02",
        "--threads",
        "1",
        "--out",
        text(&profile),
    ]);
    assert_eq!(measured["nets"].as_array().unwrap().len(), 2, "float and int8");
    assert!(succeed(&["device", "show", text(&profile)]).contains("mobilenet-v2-s28 1 28 int8"));
    succeed(&["zoo", "mobilenet-v2-s28", "--width", "0.75", "--out", text(&net)]);
    let o = json(&["device", "predict", text(&profile), text(&net), "--measure", "--threads", "1"]);
    let p = &o["predicted"];
    let ms = |name: &str| p[name].as_f64().unwrap();
    assert!(0.0 < ms("low_ms") && ms("low_ms") <= ms("ms") && ms("ms") <= ms("high_ms"), "{p}");
    assert!(ms("millijoules") > 0.0 && o["measured_ms"].as_f64().unwrap() > 0.0);
    succeed(&["zoo", "squeezenet-1.1", "--resolution", "32", "--out", text(&net)]);
    let refused = refuse(&["device", "predict", text(&profile), text(&net)]);
    assert!(refused.contains("never measured on this device"), "{refused}");
    assert!(refuse(&["device", "show", text(&net)]).contains("is no device profile"));
}

/// Deep Compression: pruned, clustered, trained as clustered, packed; the file answers as the model.
#[test]
fn few_different_weights_stay_few() {
    let folder = scratch();
    let file = |name: &str| folder.join(name);
    let (sparse, shared, trained) =
        (file("dc-sparse.onnx"), file("dc-shared.onnx"), file("dc-trained.onnx"));
    succeed(&["prune", text(model()), "--sparsity", "0.8", "--out", text(&sparse)]);
    let data = ["--data", text(toy())];
    let share = |from, to| {
        let o = json(
            &[&["quantize", text(from), "--palette", "3", "--out", text(to)], &data[..]].concat(),
        );
        let layers = o["layers"].as_array().unwrap().clone();
        assert!(layers.iter().all(|layer| layer["values"].as_u64().unwrap() <= 8), "{o}");
        let zeros = layers.iter().map(|layer| layer["zeros"].as_u64().unwrap()).sum::<u64>();
        (o["sizes"]["coded"].as_u64().unwrap(), zeros)
    };
    let (coded, zeros) = share(&sparse, &shared);
    let train = ["train", text(&shared), "--epochs", "1", "--lr", "0.01", "--keep-palette"];
    succeed(&[&train[..], &data, &["--out", text(&trained)]].concat());
    let again = file("dc-again.onnx");
    let (coded_again, zeros_again) = share(&trained, &again);
    assert_eq!(zeros, zeros_again);
    assert!(coded_again < coded + coded / 8, "{coded_again} after training, {coded} before");
    let (packed, float) = (file("dc.ecut"), file("dc-float.ecut"));
    succeed(&["convert", text(&again), text(&packed), "--coded"]);
    succeed(&["convert", text(model()), text(&float), "--coded"]);
    let size = |path: &std::path::Path| std::fs::metadata(path).unwrap().len();
    assert!(size(&packed) * 2 < size(&float), "{} of {}", size(&packed), size(&float));
    let o = json(&[&["eval", text(&packed), "--against", text(&again)], &data[..]].concat());
    assert_eq!(o["agreement"]["percent"], 100.0);
    let refused = refuse(&[&["quantize", text(model()), "--palette", "9"], &data[..]].concat());
    assert!(refused.contains("must be 1 to 8"), "{refused}");
    let refused = refuse(&[&["train", text(model()), "--keep-palette"], &data[..]].concat());
    assert!(refused.contains("share few values"), "{refused}");
}

#[test]
fn single_weights_become_zero_and_stay_zero() {
    let folder = scratch();
    let (sparse, trained) = (folder.join("sparse.onnx"), folder.join("sparse-trained.onnx"));
    let o = json(&["prune", text(model()), "--sparsity", "0.75", "--out", text(&sparse)]);
    let (zeros, weights) = (o["zeros"].as_u64().unwrap(), o["weights"].as_u64().unwrap());
    assert!(weights > 1000 && (zeros as f64 / weights as f64 - 0.75).abs() < 0.001, "{o}");
    let train = ["train", text(&sparse), "--data", text(toy()), "--epochs", "1", "--lr", "0.01"];
    succeed(&[&train[..], &["--keep-zeros", "--out", text(&trained)]].concat());
    // What is trained has as many zeros: pruning to that share again finds nothing else to take.
    let again = folder.join("sparse-again.onnx");
    let o = json(&["prune", text(&trained), "--sparsity", "0.75", "--out", text(&again)]);
    assert_eq!(o["zeros"].as_u64().unwrap(), zeros);
    let read = |path| std::fs::read(path).unwrap();
    assert!(read(&trained) == read(&again), "nothing was left to be zeroed");
    let patterned = json(&["prune", text(model()), "--sparsity", "2:4", "--out", text(&sparse)]);
    assert_eq!(patterned["settings"]["pattern"], "2:4");
    let refused = refuse(&["prune", text(model()), "--sparsity", "2:4", "--block", "8"]);
    assert!(refused.contains("--block goes with a share"), "{refused}");
}
