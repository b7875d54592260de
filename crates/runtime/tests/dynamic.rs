//! Models that take images of any size, against ONNX Runtime: one model, a plan for each size.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::kinds;
use edgecut_graph::Tensor;
use edgecut_graph::onnx::Template;
use edgecut_kernels::Pool;
use edgecut_runtime::Model;
use edgecut_testkit::{Python, max_abs_diff, random_tensor, shared_data, skip};

/// Runs the model at every shape and compares all outputs. Every step must have a kernel.
fn agree(python: &Python, path: &Path, shapes: &[[usize; 4]], tolerance: f32) {
    let name = path.file_name().unwrap().to_string_lossy();
    let model = Model::from_template(Template::open(path).unwrap(), Arc::new(Pool::new(2)));
    for (seed, shape) in shapes.iter().enumerate() {
        let context = format!("{name} {shape:?}");
        let x = random_tensor(shape, seed as u64);
        let plan = model.plan_for(&[shape.to_vec()]).unwrap_or_else(|e| panic!("{context}: {e}"));
        let slow = plan.steps().iter().filter(|s| s.kind == "reference");
        let slow: Vec<&str> = slow.map(|s| s.name.as_str()).collect();
        assert!(slow.is_empty(), "{context}: no kernel for {slow:?} in {:?}", kinds(&plan));
        let outputs = model.infer(std::slice::from_ref(&x)).unwrap();
        let script = include_str!("peers/outputs.py");
        let expected = python.run(script, &[path.to_str().unwrap()], &[("x", &x)]).unwrap();
        assert_eq!(expected.len(), outputs.len(), "{context}");
        for (index, output) in outputs.iter().enumerate() {
            let expected: &Tensor = &expected[&format!("y{index}")];
            let difference = max_abs_diff(output, expected);
            println!("{context}: output {index} differs by {difference:e}");
            assert!(difference <= tolerance, "{context}: output {index} differs by {difference:e}");
        }
    }
    assert_eq!(model.plan_count(), shapes.len());
}

/// The folder of the models of the Python package rapidocr-onnxruntime.
fn ocr_models() -> Option<PathBuf> {
    let program = std::env::var_os("EDGECUT_PYTHON").unwrap_or("python3".into());
    let script = "import importlib.util as u\n\
                  print(u.find_spec('rapidocr_onnxruntime').submodule_search_locations[0])";
    let found = Command::new(program).args(["-c", script]).output();
    let folder = found
        .ok()
        .filter(|o| o.status.success())
        .map(|o| Path::new(String::from_utf8_lossy(&o.stdout).trim()).join("models"));
    if folder.is_none() {
        skip("the Python package rapidocr-onnxruntime (set EDGECUT_PYTHON)");
    }
    folder
}

fn ocr(file: &str, shapes: [[usize; 4]; 3]) {
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    let Some(folder) = ocr_models() else { return };
    agree(&python, &folder.join(file), &shapes, 1e-3);
}

#[test]
fn the_text_detector_agrees_at_three_sizes() {
    let shapes = [[1, 3, 96, 128], [1, 3, 160, 96], [2, 3, 64, 224]];
    ocr("ch_PP-OCRv4_det_infer.onnx", shapes);
}

#[test]
fn the_text_recogniser_agrees_at_three_sizes() {
    ocr("ch_PP-OCRv4_rec_infer.onnx", [[1, 3, 48, 96], [1, 3, 48, 320], [2, 3, 48, 64]]);
}

#[test]
fn the_text_classifier_agrees_at_three_sizes() {
    ocr("ch_ppocr_mobile_v2.0_cls_infer.onnx", [[1, 3, 48, 192], [1, 3, 64, 128], [3, 3, 48, 96]]);
}

#[test]
fn the_shufflenet_detector_agrees() {
    let Some(path) = shared_data("models/yolo_fastestv2_shufflenetv2_352.onnx") else { return };
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    agree(&python, &path, &[[1, 3, 352, 352]], 1e-4);
}
