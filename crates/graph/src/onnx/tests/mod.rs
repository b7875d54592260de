//! Import and export of small models built from messages, one per operator and quirk.

mod arithmetic;
mod files;
mod layout;
mod quantised;
mod refusals;
mod round_trip;
mod shape_chains;
mod windows;

use super::from_bytes;
use super::proto::*;
use super::write::{self, text};
use crate::{DType, Dim, Graph, GraphError, Op, Result, Shape, Tensor, interpret};

/// A model under construction: one image input `x`, one output `y`.
struct Model {
    opset: i64,
    graph: GraphProto,
}

/// `[batch, 2, 4, 4]` float32 as input, `y` as output.
fn model(opset: i64) -> Model {
    let dims = vec![Dim::from("batch"), 2.into(), 4.into(), 4.into()];
    Model { opset, graph: GraphProto::default() }
        .input("x", DType::F32, Shape::new(dims))
        .output("y")
}

impl Model {
    fn input(mut self, name: &str, dtype: DType, shape: Shape) -> Model {
        self.graph.input.retain(|i| i.name() != name);
        self.graph.input.push(write::value_info(name, dtype, &shape));
        self
    }

    fn fixed(self, dims: &[usize]) -> Model {
        self.input("x", DType::F32, Shape::fixed(dims))
    }

    fn output(mut self, name: &str) -> Model {
        self.graph.output.push(ValueInfoProto { name: Some(name.into()), r#type: None });
        self
    }

    fn stored(mut self, name: &str, tensor: Tensor) -> Model {
        self.graph.initializer.push(write::tensor(name, &tensor));
        self
    }

    fn ints(self, name: &str, values: &[i64]) -> Model {
        self.stored(name, Tensor::vector(values.to_vec()))
    }

    fn node(
        mut self,
        op: &str,
        inputs: &str,
        output: &str,
        attributes: &[AttributeProto],
    ) -> Model {
        // `_` stands for an input that is left out.
        let names = |text: &str| -> Vec<String> {
            text.split_whitespace().map(|n| n.trim_start_matches('_').to_string()).collect()
        };
        self.graph.node.push(NodeProto {
            input: names(inputs),
            output: names(output),
            op_type: Some(op.into()),
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
        self
    }

    fn proto(self) -> ModelProto {
        let opset = OperatorSetIdProto { domain: None, version: Some(self.opset) };
        ModelProto {
            ir_version: Some(8),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..ModelProto::default()
        }
    }

    fn import(self) -> Result<Graph> {
        from_bytes("model", &self.proto().encode_to_vec())
    }

    fn graph(self) -> Graph {
        let graph = self.import().unwrap();
        graph.validate().unwrap();
        graph
    }

    /// The operators, in order.
    fn ops(self) -> Vec<Op> {
        self.graph().nodes.into_iter().map(|n| n.op).collect()
    }

    fn error(self) -> GraphError {
        self.import().unwrap_err()
    }

    /// Refused as unsupported, for a reason that contains `part`.
    fn unsupported(self, part: &str) {
        let error = self.error();
        let text = error.to_string();
        assert!(matches!(error.root(), GraphError::Unsupported { .. }), "{text}");
        assert!(
            text.starts_with("model: ") && text.contains("node '") && text.contains(part),
            "{text}"
        );
    }

    /// Refused as contradicting itself, for a reason that contains `part`.
    fn malformed(self, part: &str) {
        let error = self.error();
        let text = error.to_string();
        assert!(matches!(error.root(), GraphError::Malformed { .. }), "{text}");
        assert!(text.contains(part), "{text}");
    }
}

/// One operator from `x` to `y`.
fn single(opset: i64, op: &str, attributes: &[AttributeProto]) -> Model {
    model(opset).node(op, "x", "y", attributes)
}

fn signed(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        ints: values.to_vec(),
        r#type: Some(attribute_type::INTS),
        ..AttributeProto::default()
    }
}

fn tensor_attribute(name: &str, tensor: &Tensor) -> AttributeProto {
    AttributeProto {
        name: Some(name.into()),
        t: Some(Box::new(write::tensor("", tensor))),
        r#type: Some(attribute_type::TENSOR),
        ..AttributeProto::default()
    }
}

fn constant(values: &[f32], dims: &[usize]) -> Tensor {
    Tensor::new(dims, values.to_vec()).unwrap()
}

/// The first output for a float32 input.
fn run(graph: &Graph, dims: &[usize], values: &[f32]) -> Tensor {
    interpret::run(graph, &[constant(values, dims)]).unwrap().swap_remove(0)
}

fn shape_of(graph: &Graph) -> String {
    graph.value(graph.outputs[0]).shape.to_string()
}
