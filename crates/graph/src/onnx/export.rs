//! From a graph to the bytes of a file that every ONNX runtime reads.
//!
//! One operator set, names kept, constants as initializers in the order of the graph's values, so
//! the same graph always gives the same bytes.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::proto::*;
use super::write::{self, Small, float, int, ints};
use super::{EXPORT_IR_VERSION, EXPORT_OPSET};
use crate::limits::MAX_FILE_BYTES;
use crate::op::{Cut, Pool, Unary, Window};
use crate::{Graph, GraphError, Node, Op, PadMode, Reduction, ReshapeDim, Result, Tensor};

/// Writes `graph` to `path`: to a temporary file in the same folder first, then renamed, so that
/// `path` never holds half a model. Fails as [`to_bytes`], or where the file cannot be written.
pub fn export(graph: &Graph, path: &Path) -> Result<()> {
    let bytes = to_bytes(graph)?;
    let io = |source| GraphError::Io { path: path.display().to_string(), source };
    let name = path.file_name().ok_or_else(|| {
        io(std::io::Error::new(std::io::ErrorKind::InvalidInput, "is not the name of a file"))
    })?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path));
    written.map_err(|source| {
        // Nothing to report where the temporary file was never made.
        let _ = std::fs::remove_file(&temporary);
        io(source)
    })
}

/// `graph` as an ONNX file of opset [`EXPORT_OPSET`]. Fails where the graph is invalid, has two
/// values or nodes of one name, or exceeds protobuf's 2 GiB.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    graph.validate()?;
    let proto = ModelProto {
        ir_version: Some(EXPORT_IR_VERSION),
        producer_name: Some("edgecut".into()),
        producer_version: Some(env!("CARGO_PKG_VERSION").into()),
        graph: Some(graph_proto(graph)?),
        opset_import: vec![OperatorSetIdProto {
            domain: Some(String::new()),
            version: Some(EXPORT_OPSET),
        }],
        metadata_props: graph
            .metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: Some(key.clone()),
                value: Some(value.clone()),
            })
            .collect(),
        functions: vec![],
    };
    let size = proto.encoded_len() as u64;
    if size >= MAX_FILE_BYTES {
        return Err(GraphError::Limit {
            place: format!("model '{}'", graph.name),
            what: "size in bytes",
            value: size,
            limit: MAX_FILE_BYTES,
        });
    }
    Ok(proto.encode_to_vec())
}

fn graph_proto(graph: &Graph) -> Result<GraphProto> {
    let mut used = vec![false; graph.values().len()];
    let ends = graph.inputs.iter().chain(&graph.outputs);
    let inner = graph.nodes.iter().flat_map(|n| n.inputs.iter().flatten().chain(&n.outputs));
    ends.chain(inner).for_each(|id| used[id.index()] = true);

    let mut taken = HashSet::new();
    for (value, _) in graph.values().iter().zip(&used).filter(|(_, used)| **used) {
        if value.name.is_empty() || !taken.insert(value.name.clone()) {
            return Err(GraphError::Malformed {
                place: format!("value '{}'", value.name),
                problem: "has no name of its own".into(),
            });
        }
    }
    let info = |id: &crate::ValueId| {
        let value = graph.value(*id);
        write::value_info(&value.name, value.dtype, &value.shape)
    };
    let stored = graph.values().iter().zip(&used).filter(|(_, used)| **used);
    let stored = stored.filter_map(|(v, _)| v.constant.as_ref().map(|t| write::tensor(&v.name, t)));
    let mut initializer: Vec<TensorProto> = stored.collect();
    let mut small = Small::new(taken);
    let node =
        graph.nodes.iter().map(|n| node_proto(graph, n, &mut small)).collect::<Result<_>>()?;
    initializer.append(&mut small.made);
    let computed = graph.nodes.iter().flat_map(|n| &n.outputs);
    Ok(GraphProto {
        node,
        name: Some(if graph.name.is_empty() { "graph".into() } else { graph.name.clone() }),
        initializer,
        input: graph.inputs.iter().map(info).collect(),
        output: graph.outputs.iter().map(info).collect(),
        value_info: computed.filter(|id| !graph.is_output(**id)).map(info).collect(),
        sparse_initializer: vec![],
    })
}

fn node_proto(graph: &Graph, node: &Node, small: &mut Small) -> Result<NodeProto> {
    let name =
        |id: &Option<crate::ValueId>| id.map(|id| graph.value(id).name.clone()).unwrap_or_default();
    let mut input: Vec<String> = node.inputs.iter().map(name).collect();
    while input.last().is_some_and(String::is_empty) {
        input.pop();
    }
    let (attribute, more) = attributes(graph, node, small)?;
    input.extend(more);
    Ok(NodeProto {
        input,
        output: node.outputs.iter().map(|id| graph.value(*id).name.clone()).collect(),
        name: Some(node.name.clone()),
        op_type: Some(node.op.name().to_string()),
        attribute,
        domain: None,
    })
}

/// Attributes, and the further inputs that opset 17 has instead of attributes.
fn attributes(
    graph: &Graph,
    node: &Node,
    small: &mut Small,
) -> Result<(Vec<AttributeProto>, Vec<String>)> {
    let signed = |values: &[usize]| values.iter().map(|&v| v as i64).collect::<Vec<i64>>();
    let mut inputs = vec![];
    let attributes = match &node.op {
        Op::Conv(conv) => {
            let mut attributes = window(&conv.window);
            attributes.push(int("group", conv.groups as i64));
            attributes
        }
        Op::MaxPool(p) => pool(p),
        Op::AveragePool(p) => {
            let mut attributes = pool(p);
            attributes.retain(|a| a.name() != "dilations");
            if p.window.dilations != [1, 1] {
                return Err(node.error("dilated average pooling is not in opset 17"));
            }
            attributes.push(int("count_include_pad", p.count_include_pad.into()));
            attributes
        }
        Op::Gemm(gemm) => vec![
            float("alpha", gemm.alpha),
            float("beta", gemm.beta),
            int("transA", gemm.trans_a.into()),
            int("transB", gemm.trans_b.into()),
        ],
        Op::BatchNorm { epsilon, momentum } => {
            vec![float("epsilon", *epsilon), float("momentum", *momentum)]
        }
        Op::Unary(Unary::Clip { min, max }) => {
            inputs = clip_bounds(*min, *max, small);
            vec![]
        }
        Op::Unary(Unary::LeakyRelu { alpha }) => vec![float("alpha", *alpha)],
        Op::Unary(Unary::HardSigmoid { alpha, beta }) => {
            vec![float("alpha", *alpha), float("beta", *beta)]
        }
        Op::Unary(Unary::Relu | Unary::Sigmoid | Unary::HardSwish) => vec![],
        Op::Binary(_) | Op::MatMul | Op::GlobalAveragePool => vec![],
        Op::Concat { axis } | Op::Flatten { axis } | Op::Softmax { axis } => {
            vec![int("axis", *axis as i64)]
        }
        Op::Reshape { dims } => {
            let (target, zero_is_zero) = reshape_target(graph, node, dims)?;
            inputs.push(small.int_vector("shape", target));
            if zero_is_zero { vec![int("allowzero", 1)] } else { vec![] }
        }
        Op::Transpose { perm } => vec![ints("perm", perm)],
        Op::Pad { before, after, mode: PadMode::Constant(value) } => {
            inputs.push(small.int_vector("pads", [signed(before), signed(after)].concat()));
            inputs.push(small.name("value", &Tensor::scalar(*value)));
            vec![]
        }
        Op::Slice { cuts } => {
            inputs = slice_inputs(cuts, small);
            vec![]
        }
        Op::Reduce { kind: Reduction::Mean, axes, keep_dims } => {
            vec![ints("axes", axes), int("keepdims", (*keep_dims).into())]
        }
        Op::Squeeze { axes } | Op::Unsqueeze { axes } => {
            inputs.push(small.int_vector("axes", signed(axes)));
            vec![]
        }
        Op::Quantize { axis } | Op::Dequantize { axis } => {
            // With one scale for the tensor any axis means the same; that of a scalar has none.
            let rank = graph.value(node.input(0)?).shape.rank();
            if *axis < rank { vec![int("axis", *axis as i64)] } else { vec![int("axis", 0)] }
        }
        _ => return Err(node.error("cannot be written yet")),
    };
    Ok((attributes, inputs))
}

fn window(window: &Window) -> Vec<AttributeProto> {
    vec![
        ints("kernel_shape", &window.kernel),
        ints("strides", &window.strides),
        ints("dilations", &window.dilations),
        ints("pads", &window.pads),
    ]
}

fn pool(pool: &Pool) -> Vec<AttributeProto> {
    let mut attributes = window(&pool.window);
    attributes.push(int("ceil_mode", pool.ceil_mode.into()));
    attributes
}

/// An infinite bound is an absent input.
fn clip_bounds(min: f32, max: f32, small: &mut Small) -> Vec<String> {
    let mut bound = |value: f32, absent: f32| {
        if value == absent { String::new() } else { small.name("bound", &Tensor::scalar(value)) }
    };
    let bounds = [bound(min, f32::NEG_INFINITY), bound(max, f32::INFINITY)];
    let present = bounds.iter().rposition(|b| !b.is_empty()).map_or(0, |last| last + 1);
    bounds.into_iter().take(present).collect()
}

/// The target of Reshape, and whether its zeros are meant. An extent of 0 excludes "copy", which
/// is also written as 0: then what is copied must be a number.
fn reshape_target(graph: &Graph, node: &Node, dims: &[ReshapeDim]) -> Result<(Vec<i64>, bool)> {
    let zero_is_zero = dims.contains(&ReshapeDim::Fixed(0));
    let shape = &graph.value(node.input(0)?).shape;
    let target = dims.iter().enumerate().map(|(index, dim)| match dim {
        ReshapeDim::Fixed(n) => Ok(*n as i64),
        ReshapeDim::Infer => Ok(-1),
        ReshapeDim::Copy if zero_is_zero => Ok(shape.extent(index, &node.name)? as i64),
        ReshapeDim::Copy => Ok(0),
    });
    Ok((target.collect::<Result<_>>()?, zero_is_zero))
}

fn slice_inputs(cuts: &[Cut], small: &mut Small) -> Vec<String> {
    let end = |cut: &Cut| match cut.len {
        0 => cut.start,
        len => cut.start + (len - 1) * cut.step + 1,
    };
    let mut vector = |stem: &str, f: &dyn Fn(&Cut) -> usize| {
        small.int_vector(stem, cuts.iter().map(|cut| f(cut) as i64).collect())
    };
    vec![
        vector("starts", &|cut| cut.start),
        vector("ends", &end),
        vector("axes", &|cut| cut.axis),
        vector("steps", &|cut| cut.step),
    ]
}
