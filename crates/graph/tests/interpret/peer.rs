//! ONNX Runtime as an oracle.

use std::collections::BTreeMap;

use edgecut_graph::{DType, Graph, Tensor, interpret, onnx};
use edgecut_testkit::{Python, max_abs_diff, relative_error};

/// Runs every model `mI.npy` (the bytes of an ONNX file) on `xI_K.npy`, its K-th input, and saves
/// `yI_K.npy`, or nothing where ONNX Runtime lacks the operator for these types or
/// parameters.
const SCRIPT: &str = "
import os, sys, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.log_severity_level = 4
options.intra_op_num_threads = 1
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
limits = 'NOT_IMPLEMENTED', 'not supported now', 'zero point is not valid'
for i in range(int(sys.argv[1])):
    try:
        session = ort.InferenceSession(np.load(f'm{i}.npy').tobytes(), options,
                                       providers=['CPUExecutionProvider'])
        inputs = {v.name: np.load(f'x{i}_{k}.npy') for k, v in enumerate(session.get_inputs())}
        outputs = session.run(None, inputs)
    except Exception as e:
        if any(limit in str(e) for limit in limits):
            continue
        sys.exit(f'model {i}: {e}')
    for k, output in enumerate(outputs):
        np.save(f'y{i}_{k}.npy', output)
";

/// A graph, its inputs, and how far float results may be from ONNX Runtime's: each by itself, or all
/// together relative to their norm.
pub struct Question {
    pub graph: Graph,
    pub inputs: Vec<Tensor>,
    pub tolerance: f32,
}

/// Compares all outputs of all graphs. Returns whether ONNX Runtime knew each, or `None` where it
/// is not installed.
pub fn compare(questions: &[Question]) -> Option<Vec<bool>> {
    let python = Python::with(&["onnxruntime"])?;
    let mut tensors = vec![];
    for (i, question) in questions.iter().enumerate() {
        let bytes = onnx::to_bytes(&question.graph).unwrap();
        tensors.push((format!("m{i}"), Tensor::vector(bytes)));
        let inputs = question.inputs.iter().enumerate();
        tensors.extend(inputs.map(|(k, x)| (format!("x{i}_{k}"), x.clone())));
    }
    let inputs: Vec<(&str, &Tensor)> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let results = python.run(SCRIPT, &[&questions.len().to_string()], &inputs).unwrap();
    let problems: Vec<String> =
        questions.iter().enumerate().filter_map(|(i, q)| q.problem(i, &results)).collect();
    assert!(problems.is_empty(), "{} differ:\n{}", problems.len(), problems.join("\n"));
    Some((0..questions.len()).map(|i| results.contains_key(&format!("y{i}_0"))).collect())
}

impl Question {
    fn problem(&self, index: usize, results: &BTreeMap<String, Tensor>) -> Option<String> {
        let own = interpret::run(&self.graph, &self.inputs).unwrap();
        own.iter().enumerate().find_map(|(k, own)| {
            let theirs = results.get(&format!("y{index}_{k}"))?;
            let exact = own.dtype() != DType::F32 || self.tolerance == 0.0;
            let same = own.shape() == theirs.shape()
                && own.dtype() == theirs.dtype()
                && if exact { max_abs_diff(own, theirs) == 0.0 } else { self.close(own, theirs) };
            let inputs: Vec<&[usize]> = self.inputs.iter().map(Tensor::shape).collect();
            let begin = |t: &Tensor| {
                let first = t.to_f32().into_iter().take(8).collect::<Vec<f32>>();
                format!("{} {:?} {first:?}...", t.dtype(), t.shape())
            };
            let name = &self.graph.name;
            (!same).then(|| {
                let (own, theirs) = (begin(own), begin(theirs));
                format!("model {index}, output {k}: {name} of {inputs:?} is {own}, not {theirs}")
            })
        })
    }

    fn close(&self, own: &Tensor, theirs: &Tensor) -> bool {
        max_abs_diff(own, theirs) <= self.tolerance || relative_error(own, theirs) <= self.tolerance
    }
}
