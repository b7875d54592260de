//! Every operator alone, in every way that lowering may meet it: against the interpreter.

mod common;

use common::run_everywhere;
use edgecut_graph::{Binary, DType, Graph, Op, Shape, Tensor, Unary, interpret};
use edgecut_testkit::{Family, assert_close, operator_cases, random_chain, relative_error};

/// How the inputs of an operator reach it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Supply {
    /// From the caller, in ONNX order.
    Input,
    /// From another step, in the plan's order.
    Computed,
    /// Stored in the model, all but the first.
    Stored,
}

const SUPPLIES: [Supply; 3] = [Supply::Input, Supply::Computed, Supply::Stored];

/// One operator over `inputs`, supplied in this way, and what the caller then gives.
fn net(op: &Op, inputs: &[Option<Tensor>], supply: Supply) -> (Graph, Vec<Tensor>) {
    let mut graph = Graph::new("operator");
    let (mut ids, mut given) = (vec![], vec![]);
    for (index, tensor) in inputs.iter().enumerate() {
        let Some(tensor) = tensor else {
            ids.push(None);
            continue;
        };
        if supply == Supply::Stored && index > 0 {
            ids.push(Some(graph.add_constant(format!("stored{index}"), tensor.clone())));
            continue;
        }
        let shape = Shape::fixed(tensor.shape());
        let mut id = graph.add_input(format!("in{index}"), tensor.dtype(), shape);
        given.push(tensor.clone());
        if supply == Supply::Computed && tensor.rank() > 0 {
            let alone = Op::Concat { axis: 0 };
            id = graph.add_node(format!("copy{index}"), alone, &[Some(id)]).unwrap();
        }
        ids.push(Some(id));
    }
    graph.add_node("op", op.clone(), &ids).unwrap();
    graph.outputs = graph.nodes.last().unwrap().outputs.clone();
    (graph, given)
}

/// Where the runtime and the interpreter disagree.
fn disagreement(graph: &Graph, inputs: &[Tensor], context: &str) -> Option<String> {
    let expected = interpret::run(graph, inputs).unwrap_or_else(|e| panic!("{context}: {e}"));
    let run = || run_everywhere(graph, inputs, context);
    let Ok(outputs) = std::panic::catch_unwind(run) else { return Some(context.to_string()) };
    let close = |(output, expected): (&Tensor, &Tensor)| match output.dtype() {
        DType::F32 => relative_error(output, expected) <= 1e-5,
        _ => output == expected,
    };
    let agree = outputs.len() == expected.len() && outputs.iter().zip(&expected).all(close);
    (!agree).then(|| format!("{context}: {:?} instead of {:?}", outputs, expected))
}

fn check(disagreements: impl Iterator<Item = String>) {
    let found: Vec<String> = disagreements.collect();
    assert!(found.is_empty(), "{} disagree:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_operator_and_attribute() {
    let cases = operator_cases();
    check(cases.iter().filter_map(|c| disagreement(&c.graph, &c.inputs, &c.name)));
}

#[test]
fn generated_operators() {
    let cases = Family::ALL.into_iter().flat_map(|family| (0..300).map(move |seed| (family, seed)));
    let cases = cases.flat_map(|case| SUPPLIES.map(|supply| (case, supply)));
    check(cases.filter_map(|((family, seed), supply)| {
        let case = family.case(seed);
        let (graph, inputs) = net(&case.op, &case.inputs, supply);
        let context = format!("{family:?} {seed} {supply:?} {:?}", case.op);
        disagreement(&graph, &inputs, &context)
    }));
}

/// Whether a small change of the input of any operator changes its result little: rounding then
/// does not grow into another answer further down.
fn is_smooth(graph: &Graph) -> bool {
    let jumps = |op: &Op| {
        let unary = |f: &Unary| {
            matches!(f, Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round)
                || matches!(f, Unary::ThresholdedRelu { .. } | Unary::Shrink { .. })
        };
        match op {
            Op::Unary(f) => unary(f),
            Op::Binary(f) => matches!(f, Binary::Mod | Binary::Fmod | Binary::Div | Binary::Pow),
            Op::Compare(_) | Op::Hardmax { .. } | Op::ArgExtreme { .. } | Op::TopK { .. } => true,
            Op::Quantize { .. } | Op::DynamicQuantize => true,
            Op::Cast { to } => *to != DType::F32,
            _ => false,
        }
    };
    !graph.nodes.iter().any(|node| jumps(&node.op))
}

#[test]
fn chains_of_operators() {
    let mut checked = 0;
    for seed in 0..600 {
        let (graph, inputs) = random_chain(seed, 4);
        let expected = interpret::run(&graph, &inputs).unwrap();
        let tame = |t: &Tensor| t.to_f32().iter().all(|v| v.abs() < 1e6);
        if !is_smooth(&graph) || !expected.iter().all(tame) {
            continue;
        }
        checked += 1;
        let context = format!("chain {seed}");
        let outputs = run_everywhere(&graph, &inputs, &context);
        for (output, expected) in outputs.iter().zip(&expected) {
            assert_close(output, expected, 1e-3, &context);
        }
    }
    assert!(checked >= 100, "only {checked} chains are smooth");
}
