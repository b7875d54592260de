//! Every model that is at hand: read, written, read again, and compared with other runtimes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use edgecut_graph::{Graph, Tensor, onnx, tflite};
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_testkit::{random_inputs, write_npy};
use serde::{Deserialize, Serialize};

/// The models of the Python package rapidocr-onnxruntime and input shapes to run them at.
const OCR: [(&str, [&str; 3]); 3] = [
    ("ch_PP-OCRv4_det_infer.onnx", ["1x3x320x320", "1x3x640x480", "1x3x736x992"]),
    ("ch_PP-OCRv4_rec_infer.onnx", ["1x3x48x160", "1x3x48x320", "2x3x48x520"]),
    ("ch_ppocr_mobile_v2.0_cls_infer.onnx", ["1x3x48x192", "1x3x48x96", "3x3x48x240"]),
];

/// A model and a shape for its only input, where it leaves that open.
#[derive(Clone)]
struct Case {
    name: String,
    path: PathBuf,
    shape: Option<Vec<usize>>,
}

/// What was found about a model.
#[derive(Serialize, Default)]
struct Row {
    model: String,
    nodes: usize,
    /// The second export has the bytes of the first.
    same_bytes: bool,
    /// What was read back computes the same bits.
    same_bits: bool,
    #[serde(flatten)]
    peer: Peer,
    error: Option<String>,
}

/// What the other runtimes say.
#[derive(Serialize, Deserialize, Default)]
struct Peer {
    /// `ok`, or what onnx.checker says about the export.
    checker: Option<String>,
    /// Largest difference to the original file in ONNX Runtime or LiteRT, over the largest
    /// magnitude of that output (integers: in steps).
    original: Option<f64>,
    /// The same for the export in ONNX Runtime.
    export: Option<f64>,
}

/// Read, write and read models again, and compare with ONNX Runtime and LiteRT
#[derive(clap::Args)]
pub struct Options {
    /// Files, each with an optional @1x3x640x640; without, all of EDGECUT_DATA, the OCR package and the zoo
    #[arg(value_name = "MODEL[@SHAPE]")]
    models: Vec<String>,
    /// Print the rows as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let cases = match options.models.is_empty() {
        true => [known(), zoo(root)?].concat(),
        false => options.models.iter().map(|named| case(named)).collect(),
    };
    if cases.is_empty() {
        return Err("no models: set EDGECUT_DATA, or name files".into());
    }
    let mut rows = vec![];
    for case in &cases {
        eprintln!("{}", case.name);
        let row = match check(root, case) {
            Ok(row) => row,
            Err(error) => Row { model: case.name.clone(), error: Some(error), ..Row::default() },
        };
        rows.push(row);
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows).map_err(|e| e.to_string())?);
    } else {
        show(&rows);
    }
    let bad = rows.iter().filter(|r| {
        let refused = r.peer.checker.as_deref().is_some_and(|c| c != "ok");
        r.error.is_some() || !r.same_bytes || !r.same_bits || refused
    });
    match bad.count() {
        0 => Ok(()),
        n => Err(format!("{n} of {} models failed", rows.len())),
    }
}

fn case(arg: &str) -> Case {
    let (path, shape) = match arg.rsplit_once('@') {
        Some((path, shape)) => (path, Some(extents(shape))),
        None => (arg, None),
    };
    let file = Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    let suffix = arg.rsplit_once('@').map_or(String::new(), |(_, s)| format!("@{s}"));
    Case { name: format!("{file}{suffix}"), path: path.into(), shape }
}

fn extents(text: &str) -> Vec<usize> {
    text.split('x').filter_map(|d| d.parse().ok()).collect()
}

/// The models of the shared data, and those of the OCR package where Python has it.
fn known() -> Vec<Case> {
    let mut files: Vec<PathBuf> = vec![];
    if let Some(folder) = edgecut_testkit::shared_data("models") {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        let model = |p: &PathBuf| p.extension().is_some_and(|e| e == "onnx" || e == "tflite");
        files.extend(entries.filter(model));
    }
    files.sort();
    let mut cases: Vec<Case> = files.iter().map(|path| case(&path.to_string_lossy())).collect();
    let script = "import importlib.util as u; print(u.find_spec('rapidocr_onnxruntime').submodule_search_locations[0])";
    let found = Command::new(python()).args(["-c", script]).output();
    match found.ok().filter(|o| o.status.success()).map(|o| o.stdout) {
        Some(place) => {
            let folder = Path::new(String::from_utf8_lossy(&place).trim()).join("models");
            for (file, shapes) in OCR {
                let path = folder.join(file).to_string_lossy().into_owned();
                cases.extend(shapes.map(|shape| case(&format!("{path}@{shape}"))));
            }
        }
        None => println!("skipped: needs the Python package rapidocr-onnxruntime (EDGECUT_PYTHON)"),
    }
    cases
}

/// The architectures of the zoo with fresh weights, written as files.
fn zoo(root: &Path) -> Result<Vec<Case>, String> {
    let folder = root.join("target/models/zoo");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let write = |architecture: &edgecut_zoo::Architecture| {
        let path = folder.join(format!("{}.onnx", architecture.name));
        let graph = architecture.build(&edgecut_zoo::Options::default());
        onnx::export(&graph.map_err(|e| e.to_string())?, &path).map_err(|e| e.to_string())?;
        Ok(case(&path.to_string_lossy()))
    };
    edgecut_zoo::list().iter().map(write).collect()
}

fn python() -> String {
    std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into())
}

fn read(case: &Case) -> Result<Graph, String> {
    let text = |e: edgecut_graph::GraphError| e.to_string();
    if case.path.extension().is_some_and(|e| e == "tflite") {
        return tflite::import(&case.path).map_err(text);
    }
    let template = onnx::Template::open(&case.path).map_err(text)?;
    let shapes = match (&case.shape, template.inputs()) {
        (None, _) => vec![],
        (Some(shape), [input]) => vec![(input.name.as_str(), shape.clone())],
        (Some(_), inputs) => return Err(format!("has {} inputs, a shape fits one", inputs.len())),
    };
    template.graph(&shapes).map_err(text)
}

fn check(root: &Path, case: &Case) -> Result<Row, String> {
    let text = |e: edgecut_graph::GraphError| e.to_string();
    let graph = read(case)?;
    let bytes = onnx::to_bytes(&graph).map_err(text)?;
    let again = onnx::from_bytes("export", &bytes).map_err(text)?;
    let same_bytes = onnx::to_bytes(&again).map_err(text)? == bytes;
    let inputs = random_inputs(&graph, 1, 1);
    let ours = infer(&graph, &inputs)?;
    let same_bits = bits(&ours) == bits(&infer(&again, &inputs)?);
    let folder = root.join("target/models").join(&case.name);
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    std::fs::write(folder.join("export.onnx"), &bytes).map_err(|e| e.to_string())?;
    for (kind, tensors) in [("input", &inputs), ("output", &ours)] {
        for (i, tensor) in tensors.iter().enumerate() {
            write_npy(&folder.join(format!("{kind}{i}.npy")), tensor)?;
        }
    }
    let output = Command::new(python())
        .arg(root.join("xtask/peers/models.py"))
        .args([&case.path, &folder])
        .output()
        .map_err(|e| e.to_string())?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_string());
    }
    let peer = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    let (model, nodes) = (case.name.clone(), graph.nodes.len());
    Ok(Row { model, nodes, same_bytes, same_bits, peer, error: None })
}

fn infer(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let plan = compile(graph, &CompileOptions::default()).map_err(|e| e.to_string())?;
    let pool = Arc::new(edgecut_kernels::Pool::new(2));
    Session::new(Arc::new(plan), pool).infer(inputs).map_err(|e| e.to_string())
}

/// Floats by their bits, so that a NaN equals itself.
fn bits(tensors: &[Tensor]) -> Vec<(Vec<usize>, Vec<u64>)> {
    let of = |t: &Tensor| match t.f32s() {
        Ok(values) => values.iter().map(|v| u64::from(v.to_bits())).collect(),
        Err(_) => t.to_i64().unwrap_or_default().into_iter().map(|v| v as u64).collect(),
    };
    tensors.iter().map(|t| (t.shape().to_vec(), of(t))).collect()
}

fn show(rows: &[Row]) {
    println!(
        "{:<52} {:>5}  {:<10} {:<9} {:<8} {:>10} {:>10}",
        "model", "nodes", "same bytes", "same bits", "checker", "original", "export"
    );
    for r in rows {
        if let Some(error) = &r.error {
            println!("{:<52} {error}", r.model);
            continue;
        }
        let yes = |b: bool| if b { "yes" } else { "NO" };
        let number = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.1e}"));
        println!(
            "{:<52} {:>5}  {:<10} {:<9} {:<8} {:>10} {:>10}",
            r.model,
            r.nodes,
            yes(r.same_bytes),
            yes(r.same_bits),
            r.peer.checker.as_deref().unwrap_or("-"),
            number(r.peer.original),
            number(r.peer.export)
        );
    }
    println!(
        "original, export: largest difference to ONNX Runtime (LiteRT for .tflite) on one generated \
         input, over the largest magnitude of that output; integers in steps"
    );
}
