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
    /// Faster ones, without delegates.
    Optimised,
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
        self.run_all(kernels, &[(model.to_vec(), inputs.to_vec())])?.remove(0)
    }

    /// As [`LiteRt::run`], for models with their inputs; a model that LiteRT refuses has an error
    /// of its own.
    pub fn run_all(
        &self,
        kernels: Kernels,
        models: &[(Vec<u8>, Vec<Tensor>)],
    ) -> Result<Vec<Result<Vec<Tensor>, String>>, String> {
        let kernels = match kernels {
            Kernels::Reference => "reference",
            Kernels::Optimised => "optimised",
            Kernels::Default => "default",
        };
        let mut given = vec![];
        for (i, (model, inputs)) in models.iter().enumerate() {
            given.push((format!("m{i}"), Tensor::vector(model.clone())));
            let inputs = inputs.iter().enumerate();
            given.extend(inputs.map(|(j, x)| (format!("x{i}_{j}"), x.clone())));
        }
        let given: Vec<(&str, &Tensor)> = given.iter().map(|(n, t)| (&n[..], t)).collect();
        let results = self.0.run(include_str!("run.py"), &[kernels], &given)?;
        Ok((0..models.len()).map(|i| outcome(&results, i)).collect())
    }

    /// Models of single operators, with inputs and the results of the reference kernels:
    /// `float` ones, or `integer` ones of both 8-bit types.
    pub fn operators(&self, kind: &str) -> Result<Vec<LiteRtCase>, String> {
        let results = self.0.run(include_str!("operators.py"), &[kind], &[])?;
        let case = |(i, name): (usize, &str)| {
            Ok(LiteRtCase {
                name: format!("{i} {name}"),
                model: bytes(&results, &format!("m{i}"))?,
                inputs: numbered(&results, &format!("x{i}_")),
                outputs: numbered(&results, &format!("y{i}_")),
            })
        };
        let names = String::from_utf8(bytes(&results, "names")?).map_err(|e| e.to_string())?;
        names.lines().enumerate().map(case).collect()
    }

    /// Every tensor that the reference kernels compute, by name.
    pub fn tensors(
        &self,
        model: &[u8],
        inputs: &[Tensor],
    ) -> Result<BTreeMap<String, Tensor>, String> {
        let names: Vec<String> = (0..inputs.len()).map(|i| format!("x{i}")).collect();
        let model = Tensor::vector(model.to_vec());
        let mut given = vec![("model", &model)];
        given.extend(names.iter().map(String::as_str).zip(inputs));
        let results = self.0.run(include_str!("tensors.py"), &[], &given)?;
        let names = String::from_utf8(bytes(&results, "names")?).map_err(|e| e.to_string())?;
        let named = names.lines().enumerate().filter_map(|(i, name)| {
            results.get(&format!("t{i}")).map(|t| (name.to_string(), t.clone()))
        });
        Ok(named.collect())
    }
}

/// A model of one operator and what LiteRT makes of it.
#[derive(Clone, Debug)]
pub struct LiteRtCase {
    /// Its number and the operator.
    pub name: String,
    /// The file.
    pub model: Vec<u8>,
    /// Inputs; images are NCHW.
    pub inputs: Vec<Tensor>,
    /// Outputs; images are NCHW.
    pub outputs: Vec<Tensor>,
}

type Arrays = BTreeMap<String, Tensor>;

fn bytes(arrays: &Arrays, name: &str) -> Result<Vec<u8>, String> {
    let array = arrays.get(name).ok_or_else(|| format!("no {name}"))?;
    Ok(array.u8s().map_err(|e| e.to_string())?.to_vec())
}

/// `stem` followed by 0, 1, ...
fn numbered(arrays: &Arrays, stem: &str) -> Vec<Tensor> {
    (0..).map_while(|i| arrays.get(&format!("{stem}{i}")).cloned()).collect()
}

fn outcome(arrays: &Arrays, i: usize) -> Result<Vec<Tensor>, String> {
    match bytes(arrays, &format!("e{i}")) {
        Ok(why) => Err(String::from_utf8_lossy(&why).into_owned()),
        Err(_) => Ok(numbered(arrays, &format!("y{i}_"))),
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

/// The largest difference of two tensors' integers.
///
/// # Panics
/// Where they differ in shape or type, or are not integers.
pub fn largest_step(a: &Tensor, b: &Tensor) -> i64 {
    assert_eq!((a.shape(), a.dtype()), (b.shape(), b.dtype()));
    let (a, b) = (a.to_i64().expect("integers"), b.to_i64().expect("integers"));
    a.into_iter().zip(b).map(|(a, b)| (a - b).abs()).max().unwrap_or(0)
}
