//! Import of what was exported: the same function, bit for bit, in the same bytes.

use edgecut_graph::{Data, Graph, GraphError, Tensor, ValueId, interpret, onnx};
use edgecut_testkit::{Family, operator_cases, random_chain, random_graph, random_inputs};

/// Fails with what is different.
pub fn round_trip(graph: &Graph, inputs: &[Tensor]) -> Result<(), String> {
    let text = |e: GraphError| e.to_string();
    let bytes = onnx::to_bytes(graph).map_err(text)?;
    let again = onnx::from_bytes("again", &bytes).map_err(text)?;
    if ports(graph) != ports(&again) {
        return Err(format!("other inputs and outputs: {:?}", ports(&again)));
    }
    let run = |graph: &Graph| interpret::run(graph, inputs).map_err(text);
    if bits(&run(graph)?) != bits(&run(&again)?) {
        return Err("another result".into());
    }
    if onnx::to_bytes(&again).map_err(text)? != bytes {
        return Err(format!("other bytes: {:?}", again.nodes));
    }
    Ok(())
}

/// Names, types and shapes of inputs and outputs.
fn ports(graph: &Graph) -> Vec<String> {
    let port = |&id: &ValueId| {
        let value = graph.value(id);
        format!("{} {} {}", value.name, value.dtype, value.shape)
    };
    graph.inputs.iter().chain(&graph.outputs).map(port).collect()
}

/// NaNs are equal, signs of zeros count.
fn bits(tensors: &[Tensor]) -> Vec<(Vec<usize>, Vec<u32>, Option<Data>)> {
    let bits = |v: &f32| if v.is_nan() { f32::NAN.to_bits() } else { v.to_bits() };
    let of = |t: &Tensor| match t.data() {
        Data::F32(v) => (t.shape().to_vec(), v.iter().map(bits).collect(), None),
        data => (t.shape().to_vec(), vec![], Some(data.clone())),
    };
    tensors.iter().map(of).collect()
}

pub fn check(cases: impl Iterator<Item = (String, Graph, Vec<Tensor>)>) {
    let mut wrong = vec![];
    for (name, graph, inputs) in cases {
        if let Err(problem) = round_trip(&graph, &inputs) {
            wrong.push(format!("{name}: {problem}"));
        }
    }
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_operator_and_attribute() {
    check(operator_cases().into_iter().map(|c| (c.name, c.graph, c.inputs)));
}

#[test]
fn generated_operators() {
    check(Family::ALL.into_iter().flat_map(|family| {
        (0..200).map(move |seed| {
            let case = family.case(seed);
            (format!("{family:?} {seed} {:?}", case.op), case.graph().unwrap(), case.tensors())
        })
    }));
}

#[test]
fn generated_chains_of_operators() {
    check((0..150).map(|seed| {
        let (graph, inputs) = random_chain(seed, 1 + seed as usize % 9);
        (format!("chain {seed}"), graph, inputs)
    }));
}

#[test]
fn generated_networks_of_any_batch() {
    check((0..100).map(|seed| {
        let graph = random_graph(seed);
        let inputs = random_inputs(&graph, 2, seed);
        (format!("network {seed}"), graph, inputs)
    }));
}
