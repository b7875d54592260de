//! Thin layers and palettes in ONNX Runtime.

use edgecut_compress::Control;
use edgecut_compress::low_rank::{Keep, LowRankConfig, factorise};
use edgecut_compress::palette::{PaletteConfig, share_weights};
use edgecut_graph::{Graph, onnx};
use edgecut_testkit::{Python, assert_close, random_inputs};

use crate::common::{outputs, zoo};

const SCRIPT: &str = "import sys, numpy as np, onnxruntime as ort\n\
                      session = ort.InferenceSession(sys.argv[1])\n\
                      name = session.get_inputs()[0].name\n\
                      np.save('y.npy', session.run(None, {name: np.load('x.npy')})[0])";

fn thin(graph: &Graph) -> Graph {
    let config = LowRankConfig { keep: Keep::Energy(0.6), exclude: vec![] };
    let thin = factorise(graph, &config, &Control::unlimited()).unwrap();
    assert!(thin.layers.iter().any(|layer| layer.rank.is_some()));
    thin.graph
}

#[test]
fn onnx_runtime_computes_thin_layers_and_palettes_as_we_do() {
    let Some(python) = Python::with(&["onnxruntime"]) else { return };
    for (name, graph) in zoo().filter(|(name, _)| ["lenet-5", "mobilenet-v1"].contains(name)) {
        let (shared, _) = share_weights(&thin(&graph), &PaletteConfig::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("thin.onnx");
        onnx::export(&shared, &path).unwrap();
        let inputs = random_inputs(&shared, 1, 5);
        let theirs = python.run(SCRIPT, &[path.to_str().unwrap()], &[("x", &inputs[0])]).unwrap();
        assert_close(&outputs(&shared, &inputs)[0], &theirs["y"], 1e-4, name);
    }
}
