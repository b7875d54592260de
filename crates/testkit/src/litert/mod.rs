//! LiteRT (TensorFlow Lite's runtime) as an oracle.

use std::collections::BTreeMap;

use edgecut_graph::interpret::run_node;
use edgecut_graph::{DType, Graph, Tensor};

use crate::Python;

/// A Python interpreter with LiteRT.
#[derive(Debug)]
pub struct LiteRt(Python);

/// Which kernels LiteRT uses.
#[derive(Clone, Copy, Debug)]
pub enum Kernels {
    /// The plain ones that define the operators.
    Reference,
    /// What a device would use, XNNPACK included.
    Default,
}

impl LiteRt {
    /// `None`, after saying that the test is skipped, where Python lacks it.
    pub fn find() -> Option<LiteRt> {
        Python::with(&["ai_edge_litert"]).map(LiteRt)
    }

    /// The outputs of a model; images are NCHW, as in a graph. Fails with what Python wrote.
    pub fn run(
        &self,
        kernels: Kernels,
        model: &[u8],
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, String> {
        let kernels = match kernels {
            Kernels::Reference => "reference",
            Kernels::Default => "default",
        };
        let results = self.call(include_str!("run.py"), &[kernels], model, inputs)?;
        (0..results.len())
            .map(|i| results.get(&format!("y{i}")).cloned().ok_or(format!("output {i}")))
            .collect()
    }

    /// Every tensor that the reference kernels compute, by name.
    pub fn tensors(
        &self,
        model: &[u8],
        inputs: &[Tensor],
    ) -> Result<BTreeMap<String, Tensor>, String> {
        let results = self.call(include_str!("tensors.py"), &[], model, inputs)?;
        let names = results.get("names").ok_or("no names")?.u8s().map_err(|e| e.to_string())?;
        let names = String::from_utf8(names.to_vec()).map_err(|e| e.to_string())?;
        let named = names.lines().enumerate().filter_map(|(i, name)| {
            results.get(&format!("t{i}")).map(|t| (name.to_string(), t.clone()))
        });
        Ok(named.collect())
    }

    fn call(
        &self,
        script: &str,
        arguments: &[&str],
        model: &[u8],
        inputs: &[Tensor],
    ) -> Result<BTreeMap<String, Tensor>, String> {
        let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
        let model = Tensor::vector(model.to_vec());
        let mut given = vec![("model", &model)];
        given.extend(names.iter().map(String::as_str).zip(inputs));
        self.0.run(script, arguments, &given)
    }
}

/// How far the 8-bit results of a graph are from a reference.
#[derive(Debug, Default)]
pub struct IntegerSteps {
    /// Tensors compared.
    pub tensors: usize,
    /// Their elements.
    pub elements: usize,
    /// Elements that differ.
    pub different: usize,
    /// The largest difference, in steps of the last bit.
    pub largest: i64,
    /// The tensor with the largest difference.
    pub worst: String,
}

/// Runs the operators of `graph` one by one, each fed the reference's integers of those before, so
/// that differences do not add up. Values are matched by name.
///
/// # Panics
/// Where the graph does not run, or a shape is another one.
pub fn integer_steps(
    graph: &Graph,
    inputs: &[Tensor],
    reference: &BTreeMap<String, Tensor>,
) -> IntegerSteps {
    let mut steps = IntegerSteps::default();
    let mut tensors: Vec<Option<Tensor>> = vec![None; graph.values().len()];
    for (id, input) in graph.inputs.iter().zip(inputs) {
        tensors[id.index()] = Some(input.clone());
    }
    for node in &graph.nodes {
        let args: Vec<Option<&Tensor>> =
            node.inputs.iter().map(|i| i.and_then(|id| tensors[id.index()].as_ref())).collect();
        let results = run_node(graph, node, &args).expect("the graph runs");
        for (&output, mut own) in node.outputs.iter().zip(results) {
            let value = graph.value(output);
            let expected = reference.get(&value.name).filter(|t| t.dtype() == value.dtype);
            if let Some(expected) = expected.filter(|_| value.dtype != DType::F32) {
                steps.count(&value.name, &own, expected);
                own = expected.clone();
            }
            tensors[output.index()] = Some(own);
        }
    }
    steps
}

impl IntegerSteps {
    fn count(&mut self, name: &str, own: &Tensor, expected: &Tensor) {
        assert_eq!(own.shape(), expected.shape(), "{name}");
        self.tensors += 1;
        let own = own.to_i64().expect("integers");
        for (a, b) in own.into_iter().zip(expected.to_i64().expect("integers")) {
            self.elements += 1;
            self.different += usize::from(a != b);
            if (a - b).abs() > self.largest {
                self.largest = (a - b).abs();
                self.worst = name.to_string();
            }
        }
    }
}
