//! Models of others: the shared ones, those of the Python package rapidocr-onnxruntime, and the
//! tests of the package onnx.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::rng::Rng;
use edgecut_graph::{DType, Graph, Tensor, ValueId, model, onnx, passes};
use edgecut_testkit::{shared_data, skip};

use crate::peer::{Question, compare};
use crate::round_trip::{check, round_trip};

/// Folder of a Python package.
fn package(name: &str) -> Option<PathBuf> {
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = format!(
        "import importlib.util as u; print(u.find_spec('{name}').submodule_search_locations[0])"
    );
    let output = Command::new(python).args(["-c", &script]).output();
    let found = output.ok().filter(|o| o.status.success());
    let path = found.and_then(|o| String::from_utf8(o.stdout).ok());
    if path.is_none() {
        skip(&format!("the Python package {name} (EDGECUT_PYTHON)"));
    }
    path.map(|path| PathBuf::from(path.trim()))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut found: Vec<PathBuf> =
        entries.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Inputs of batch 1, positive and small where they are integers.
fn inputs(graph: &Graph) -> Vec<Tensor> {
    let mut rng = Rng::new(17);
    let mut input = |id: &ValueId| {
        let value = graph.value(*id);
        let shape = value.shape.with_symbols(1);
        let len = shape.iter().product();
        let mut each = |f: &mut dyn FnMut(&mut Rng) -> i64| -> Vec<i64> {
            (0..len).map(|_| f(&mut rng)).collect()
        };
        match value.dtype {
            DType::F32 => Tensor::new(shape, (0..len).map(|_| rng.normal()).collect::<Vec<_>>()),
            DType::U8 => {
                let bytes = each(&mut |rng| rng.below(256) as i64);
                Tensor::new(shape, bytes.into_iter().map(|v| v as u8).collect::<Vec<_>>())
            }
            DType::I8 => {
                let bytes = each(&mut |rng| rng.below(256) as i64);
                Tensor::new(shape, bytes.into_iter().map(|v| v as i8).collect::<Vec<_>>())
            }
            DType::I32 => {
                let small = each(&mut |rng| 1 + rng.below(2) as i64);
                Tensor::new(shape, small.into_iter().map(|v| v as i32).collect::<Vec<_>>())
            }
            DType::I64 => Tensor::new(shape, each(&mut |rng| 1 + rng.below(2) as i64)),
            DType::Bool => {
                let flags = each(&mut |rng| rng.below(2) as i64);
                Tensor::new(shape, flags.into_iter().map(|v| v == 1).collect::<Vec<_>>())
            }
        }
        .unwrap()
    };
    graph.inputs.iter().map(&mut input).collect()
}

/// A model as it is and in canonical form.
fn both(path: &Path, graph: Graph) -> [Question; 2] {
    let mut canonical = graph.clone();
    passes::canonicalise(&mut canonical).unwrap();
    [("", graph), (", canonical", canonical)].map(|(form, graph)| {
        let inputs = inputs(&graph);
        Question { name: format!("{}{form}", name(path)), graph, inputs }
    })
}

fn come_back_and_agree(questions: Vec<Question>) {
    check(questions.iter().map(|q| (q.name.clone(), q.graph.clone(), q.inputs.clone())));
    if let Some(missing) = compare(&questions, 1e-3) {
        assert!(missing.is_empty(), "{missing:?}");
    }
}

#[test]
fn shared_models() {
    let Some(folder) = shared_data("models") else { return };
    let paths = [files(&folder, "onnx"), files(&folder, "tflite")].concat();
    come_back_and_agree(
        paths.iter().flat_map(|path| both(path, model::open(path).unwrap())).collect(),
    );
}

#[test]
fn text_recognition() {
    let Some(folder) = package("rapidocr_onnxruntime") else { return };
    let paths = files(&folder.join("models"), "onnx");
    assert_eq!(paths.len(), 3);
    let questions = paths.iter().flat_map(|path| {
        let template = onnx::Template::open(path).unwrap();
        let declared = template.inputs()[0].clone();
        let dims = declared.shape.dims().iter().zip([1, 3, 64, 128]);
        let shape = dims.map(|(dim, size)| dim.fixed().unwrap_or(size)).collect();
        both(path, template.graph(&[(declared.name.as_str(), shape)]).unwrap())
    });
    come_back_and_agree(questions.collect());
}

/// The models of one suite that import knows, with fixed shapes.
fn suite(folder: &Path) -> Vec<Question> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    let mut questions = vec![];
    for case in cases {
        let Ok(graph) = onnx::import(&case.join("model.onnx")) else { continue };
        let inputs = inputs(&graph);
        questions.push(Question { name: name(&case), graph, inputs });
    }
    questions
}

#[test]
fn suites_of_onnx() {
    let Some(folder) = package("onnx") else { return };
    let data = folder.join("backend/test/data");
    let mut valid = 0;
    for part in ["node", "pytorch-operator", "pytorch-converted", "simple"] {
        let mut questions = suite(&data.join(part));
        // What needs certain inputs fails with others.
        questions.retain(|q| edgecut_graph::interpret::run(&q.graph, &q.inputs).is_ok());
        valid += questions.len();
        let result = |q: &Question| {
            round_trip(&q.graph, &q.inputs).err().map(|problem| format!("{}: {problem}", q.name))
        };
        let wrong: Vec<String> = questions.iter().filter_map(result).collect();
        assert!(wrong.is_empty(), "{part}, {}:\n{}", wrong.len(), wrong.join("\n"));
        if let Some(missing) = compare(&questions, 1e-4) {
            println!("{part}: {} models, {} without a kernel", questions.len(), missing.len());
        }
    }
    assert!(valid > 500, "{valid}");
}
