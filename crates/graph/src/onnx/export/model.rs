//! The messages of a whole graph.

use std::borrow::Cow;
use std::collections::HashSet;

use super::encode::{Encoded, Stored};
use super::form::Context;
use super::qoperator::{self, Fused, MICROSOFT};
use super::{EXPORT_OPSET, QuantisedForm, int4, lower, node};
use crate::onnx::DOC_STRING;
use crate::onnx::proto::*;
use crate::onnx::write::{self, Small};
use crate::{Data, Graph, GraphError, Result, Tensor};

/// Tensors from this size on are worth a place in the external file: ONNX Runtime reads smaller
/// ones, such as shapes, while it loads the structure.
const MIN_EXTERNAL_BYTES: usize = 1024;
/// Offsets in the external file are multiples of the page size, so that readers can map it.
const ALIGNMENT: u64 = 4096;

/// `graph` as a file, with its weights in the model or in the file called `external`.
pub(super) fn model(
    graph: &Graph,
    external: Option<&str>,
    quantised: QuantisedForm,
) -> Result<Encoded> {
    graph.validate()?;
    let prepared = match quantised {
        QuantisedForm::Qdq => Cow::Borrowed(graph),
        QuantisedForm::QOperator => Cow::Owned(qoperator::prepare(graph)?),
    };
    let graph = &*lower::lower(&prepared)?;
    let fused = match quantised {
        QuantisedForm::Qdq => Fused::default(),
        QuantisedForm::QOperator => Fused::of(graph),
    };
    let needed = graph.nodes.iter().map(|n| node::since(graph, n)).collect::<Result<Vec<_>>>()?;
    // Quantised operators read 8 bits only.
    let four_bits = match quantised {
        QuantisedForm::Qdq => int4::weights(graph),
        QuantisedForm::QOperator => HashSet::new(),
    };
    let graph = &*int4::plain(graph, &four_bits);
    let four_bits: HashSet<&str> =
        four_bits.iter().map(|&id| graph.value(id).name.as_str()).collect();
    let int4_opset = if four_bits.is_empty() { EXPORT_OPSET } else { int4::OPSET };
    let opset = needed.into_iter().fold(int4_opset, i64::max);
    let used = used(graph, &fused);
    let values = || graph.values().iter().zip(&used).filter(|(_, used)| **used).map(|(v, _)| v);
    let mut taken = HashSet::new();
    for value in values() {
        if value.name.is_empty() || !taken.insert(value.name.clone()) {
            return Err(GraphError::Malformed {
                place: format!("value '{}'", value.name),
                problem: "has no name of its own".into(),
            });
        }
    }
    let constants = values().filter_map(|v| Some((v.name.as_str(), v.constant.as_ref()?)));
    let mut stored = stored(constants, external, &four_bits);
    let mut small = Small::new(taken);
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for (index, node) in graph.nodes.iter().enumerate().filter(|(i, _)| !fused.is_gone(*i)) {
        let ctx = &mut Context { graph, node, opset, small: &mut small };
        nodes.push(match fused.at(index) {
            Some(quantised) => quantised.node(ctx)?,
            None => node::node(ctx)?,
        });
    }
    stored.extend(small.made.into_iter().map(Stored::Whole));
    Ok(Encoded {
        head: ModelProto {
            ir_version: Some(ir_version(opset)),
            producer_name: Some("edgecut".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            doc_string: graph.metadata.get(DOC_STRING).cloned(),
            ..ModelProto::default()
        },
        nodes: GraphProto {
            node: nodes,
            name: Some(if graph.name.is_empty() { "graph".into() } else { graph.name.clone() }),
            ..GraphProto::default()
        },
        stored,
        interface: interface(graph, &used),
        tail: ModelProto {
            opset_import: operator_sets(opset, fused.needs_microsoft()),
            metadata_props: metadata(graph),
            ..ModelProto::default()
        },
    })
}

/// All metadata but the text that has a field of its own.
fn metadata(graph: &Graph) -> Vec<StringStringEntryProto> {
    let entries = graph.metadata.iter().filter(|(key, _)| *key != DOC_STRING);
    entries.map(|(key, value)| write::entry(key, value)).collect()
}

/// The IR version of the ONNX release that came with an operator set.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=18 => 8,
        19 | 20 => 9,
        _ => 10,
    }
}

fn operator_sets(opset: i64, microsoft: bool) -> Vec<OperatorSetIdProto> {
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.to_string()),
        version: Some(version),
    };
    std::iter::once(set("", opset)).chain(microsoft.then(|| set(MICROSOFT, 1))).collect()
}

/// Which values are part of the graph's interface or of a node that is written.
fn used(graph: &Graph, fused: &Fused) -> Vec<bool> {
    let mut used = vec![false; graph.values().len()];
    graph.inputs.iter().chain(&graph.outputs).for_each(|id| used[id.index()] = true);
    for (index, node) in graph.nodes.iter().enumerate().filter(|(i, _)| !fused.is_gone(*i)) {
        match fused.at(index) {
            Some(quantised) => quantised.values().for_each(|id| used[id.index()] = true),
            None => node.inputs.iter().flatten().for_each(|id| used[id.index()] = true),
        }
        node.outputs.iter().for_each(|id| used[id.index()] = true);
    }
    used
}

/// Constants in order, those named in `four_bits` in half the bytes, each with its place in the external file where there is one.
fn stored<'g>(
    constants: impl Iterator<Item = (&'g str, &'g Tensor)>,
    external: Option<&str>,
    four_bits: &HashSet<&str>,
) -> Vec<Stored> {
    let mut end = 0u64;
    let one = |(name, tensor): (&str, &Tensor)| match external {
        _ if four_bits.contains(name)
            && let Data::I8(values) = tensor.data() =>
        {
            Stored::Whole(write::int4_tensor(name, tensor, values))
        }
        Some(location) if tensor.bytes() >= MIN_EXTERNAL_BYTES => {
            let offset = end.next_multiple_of(ALIGNMENT);
            end = offset + tensor.bytes() as u64;
            let proto = write::external_tensor(name, tensor, location, offset);
            Stored::Beside { proto, tensor: tensor.clone(), offset }
        }
        _ => Stored::Inside { proto: write::tensor_head(name, tensor), tensor: tensor.clone() },
    };
    constants.map(one).collect()
}

fn interface(graph: &Graph, used: &[bool]) -> GraphProto {
    let info = |id: &crate::ValueId| {
        let value = graph.value(*id);
        write::value_info(&value.name, value.dtype, &value.shape)
    };
    // What follows from the next value at once would only make the file of a quantised network longer.
    let told = graph.nodes.iter().filter(|n| !node::is_conversion(&n.op));
    let computed = told.flat_map(|n| &n.outputs);
    GraphProto {
        input: graph.inputs.iter().map(info).collect(),
        output: graph.outputs.iter().map(info).collect(),
        value_info: computed
            .filter(|id| used[id.index()] && !graph.is_output(**id))
            .map(info)
            .collect(),
        ..GraphProto::default()
    }
}
