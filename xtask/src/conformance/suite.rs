//! ONNX's backend tests, as the Python package `onnx` brings them: a model, and data sets of inputs
//! with the outputs that are expected.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_graph::onnx::from_bytes;
use edgecut_graph::onnx::proto::*;
use edgecut_graph::{GraphError, Tensor};

/// The release that the manifest is about.
pub const VERSION: &str = "1.17.0";

/// The suites that need no further download. Those of real networks (`real`, `light`) do.
const SUITES: [&str; 4] = ["node", "pytorch-converted", "pytorch-operator", "simple"];

/// Our own suite, whose expectations ONNX Runtime computes.
pub const PEER: &str = "onnxruntime";

/// One test of a suite.
#[derive(Clone, Debug)]
pub struct Case {
    /// `suite/test`
    pub name: String,
    pub path: PathBuf,
}

impl Case {
    pub fn suite(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    /// Whether the operator is written as the function of simpler ones that defines it.
    pub fn is_expanded(&self) -> bool {
        self.name.contains("_expanded")
    }

    pub fn model(&self) -> Result<ModelProto, String> {
        let bytes = fs::read(self.path.join("model.onnx")).map_err(|e| e.to_string())?;
        ModelProto::decode(bytes.as_slice()).map_err(|e| format!("model.onnx: {e}"))
    }

    /// The folders of data sets, in order.
    pub fn data_sets(&self) -> Vec<PathBuf> {
        let mut sets = folders(&self.path);
        sets.retain(|set| set.is_dir());
        sets
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
    let mut found: Vec<PathBuf> = entries.filter(|p| p.is_dir()).collect();
    found.sort();
    found
}

/// All tests, sorted by name; `None` where Python has no package `onnx` of [`VERSION`]. Those of
/// [`PEER`] are written to `target` first, and missing where Python has no ONNX Runtime.
pub fn cases(root: &Path) -> Option<Vec<Case>> {
    let python = std::env::var("EDGECUT_PYTHON").unwrap_or_else(|_| "python3".into());
    let script = "import onnx, os; print(onnx.__version__, os.path.dirname(onnx.__file__))";
    let output = Command::new(&python).args(["-c", script]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (version, package) = text.trim().split_once(' ')?;
    let data = Path::new(package).join("backend/test/data");
    if version != VERSION || !data.join("node").is_dir() {
        return None;
    }
    let own = root.join("target/conformance").join(PEER);
    // Tests of an older script must not stay; that there are none yet is no problem.
    let _ = fs::remove_dir_all(&own);
    let script = root.join("xtask/peers/conformance.py");
    let written = Command::new(&python).arg(script).arg(&own).output();
    let written = written.is_ok_and(|output| output.status.success());
    let suites = SUITES.map(|suite| (suite, data.join(suite)));
    let mut cases = vec![];
    for (suite, folder) in suites.into_iter().chain(written.then_some((PEER, own))) {
        for path in folders(&folder) {
            if let Some(name) = path.file_name() {
                cases.push(Case { name: format!("{suite}/{}", name.display()), path });
            }
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Some(cases)
}

/// The stored tensors `KIND_0.pb`, `KIND_1.pb`, ... of a data set, which are those of `infos`. The
/// bits of a bfloat16, which NumPy does not have, are stored as uint16.
pub fn stored(
    set: &Path,
    kind: &str,
    infos: &[&ValueInfoProto],
) -> Result<Vec<TensorProto>, String> {
    let read = |(path, info): (PathBuf, &&ValueInfoProto)| -> Result<TensorProto, String> {
        let bytes = fs::read(&path).map_err(|e| e.to_string())?;
        let stored = TensorProto::decode(bytes.as_slice());
        let mut stored = stored.map_err(|e| format!("{}: {e}", path.display()))?;
        let declared = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let bits = stored.data_type() == data_type::UINT16;
        if bits && declared.is_some_and(|t| t.elem_type() == data_type::BFLOAT16) {
            stored.data_type = Some(data_type::BFLOAT16);
        }
        Ok(stored)
    };
    let files = (0..).map(|index| set.join(format!("{kind}_{index}.pb")));
    files.take_while(|path| path.exists()).zip(infos).map(read).collect()
}

/// A stored tensor in the graph's element types, converted as an initializer is.
pub fn tensor(stored: &TensorProto) -> Result<Tensor, GraphError> {
    let stored = TensorProto { name: Some("t".into()), ..stored.clone() };
    let output = vec![ValueInfoProto { name: Some("t".into()), r#type: None }];
    let graph = GraphProto { initializer: vec![stored], output, ..GraphProto::default() };
    let opset_import = vec![OperatorSetIdProto { domain: None, version: Some(13) }];
    let model = ModelProto { graph: Some(graph), opset_import, ..ModelProto::default() };
    let graph = from_bytes("tensor", &model.encode_to_vec())?;
    let constant = graph.outputs.first().and_then(|&id| graph.constant(id));
    constant.cloned().ok_or_else(|| GraphError::Malformed {
        place: "tensor".into(),
        problem: "is not a constant".into(),
    })
}
