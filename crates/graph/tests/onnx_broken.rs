//! Broken ONNX files: an error or a valid graph, never a panic, never more memory than stated.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use edgecut_graph::limits::MAX_FOLDED_ELEMENTS;
use edgecut_graph::onnx::proto::*;
use edgecut_graph::onnx::{from_bytes, import_memory_bound, to_bytes};
use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Dim, Op, Tensor, Window};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Tests of this file take turns: memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// What a file of a few kB may take where it does not ask for large computed constants.
const SMALL: u64 = 1 << 18;

/// What a file without computed constants may take.
fn structure_bound(len: usize) -> u64 {
    import_memory_bound(len as u64) - 16 * MAX_FOLDED_ELEMENTS as u64
}

/// Imports `bytes` and returns whether that worked. `bound` limits the peak of memory.
fn check(bytes: &[u8], bound: u64, what: &str) -> bool {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = catch_unwind(AssertUnwindSafe(|| from_bytes("broken", bytes)));
    let peak = MEMORY.peak_usage().saturating_sub(before) as u64;
    let Ok(result) = result else { panic!("{what}: import panicked") };
    assert!(peak <= bound, "{what}: {peak} bytes for a file of {}", bytes.len());
    match result {
        Ok(graph) => {
            graph.validate().unwrap_or_else(|e| panic!("{what}: imported, but invalid: {e}"));
            true
        }
        Err(error) => {
            assert!(error.to_string().starts_with("broken: "), "{what}: {error}");
            false
        }
    }
}

fn conv_net() -> Vec<u8> {
    let mut b = Builder::new("net", 1);
    let batch = Dim::from("N");
    let mut x = b.input("input", [batch, 3.into(), 16.into(), 16.into()]);
    x = b.conv(x, "stem", 4, Window::same(3, 2), 1, false).unwrap();
    x = b.batch_norm(x, "norm").unwrap();
    x = b.relu6(x).unwrap();
    let y = b.conv(x, "depthwise", 4, Window::same(3, 1), 4, true).unwrap();
    x = b.add(x, y).unwrap();
    x = b.max_pool(x, Window::new([2, 2], [2, 2])).unwrap();
    x = b.global_average_pool(x).unwrap();
    x = b.flatten(x).unwrap();
    x = b.linear(x, "head", 10).unwrap();
    x = b.apply("softmax", Op::Softmax { axis: 1 }, &[x]).unwrap();
    to_bytes(&b.finish(&[x]).unwrap()).unwrap()
}

fn int_tensor(name: &str, dims: &[i64], values: &[i64]) -> TensorProto {
    TensorProto {
        dims: dims.to_vec(),
        data_type: Some(data_type::INT64),
        int64_data: packed(values.iter().copied()),
        name: Some(name.into()),
        ..TensorProto::default()
    }
}

fn float_tensor(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    TensorProto {
        dims: dims.to_vec(),
        data_type: Some(data_type::FLOAT),
        float_data: (0..count).flat_map(|i| (i as f32 * 0.1).to_le_bytes()).collect(),
        name: Some(name.into()),
        ..TensorProto::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        op_type: Some(op.into()),
        ..NodeProto::default()
    }
}

fn with_ints(mut node: NodeProto, name: &str, ints: &[i64]) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: Some(name.into()),
        ints: ints.to_vec(),
        r#type: Some(attribute_type::INTS),
        ..AttributeProto::default()
    });
    node
}

fn with_int(mut node: NodeProto, name: &str, value: i64) -> NodeProto {
    node.attribute.push(AttributeProto {
        name: Some(name.into()),
        i: Some(value),
        r#type: Some(attribute_type::INT),
        ..AttributeProto::default()
    });
    node
}

fn info(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| DimensionProto { dim_value: Some(d), dim_param: None });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: Some(data_type::FLOAT), shape });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) }
}

fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(8),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        ..ModelProto::default()
    }
}

/// Shape computations, quantisation, padding, slices, splits.
fn odd_net() -> ModelProto {
    let mut clip = node("Clip", &["split_a", "low", "high"], "clip");
    clip.name = Some("clip".into());
    let mut split = with_int(node("Split", &["sliced", "parts"], "split_a"), "axis", 1);
    split.output.push("split_b".into());
    model(GraphProto {
        input: vec![info("x", &[-1, 4, 6, 6])],
        output: vec![info("y", &[])],
        initializer: vec![
            int_tensor("pads", &[8], &[0, 0, 1, 1, 0, 0, 1, 1]),
            int_tensor("starts", &[2], &[0, 0]),
            int_tensor("ends", &[2], &[1 << 30, 1 << 30]),
            int_tensor("axes", &[2], &[2, 3]),
            int_tensor("steps", &[2], &[2, 2]),
            int_tensor("parts", &[2], &[2, 2]),
            int_tensor("zero", &[], &[0]),
            int_tensor("first", &[1], &[0]),
            int_tensor("rest", &[1], &[-1]),
            int_tensor("few", &[1], &[3]),
            float_tensor("low", &[]),
            float_tensor("high", &[1]),
            float_tensor("scale", &[1]),
            float_tensor("w", &[64, 3]),
        ],
        node: vec![
            node("Pad", &["x", "pads"], "padded"),
            node("Slice", &["padded", "starts", "ends", "axes", "steps"], "sliced"),
            split,
            clip,
            node("Add", &["clip", "split_b"], "added"),
            node("QuantizeLinear", &["added", "scale"], "q"),
            node("DequantizeLinear", &["q", "scale"], "dq"),
            node("Shape", &["dq"], "shape"),
            with_int(node("Gather", &["shape", "zero"], "n"), "axis", 0),
            node("Unsqueeze", &["n", "first"], "n1"),
            with_int(node("Concat", &["n1", "rest"], "target"), "axis", 0),
            node("ConstantOfShape", &["few"], "zeros"),
            with_ints(node("Transpose", &["dq"], "turned"), "perm", &[0, 1, 3, 2]),
            node("Reshape", &["turned", "target"], "flat"),
            with_int(node("Concat", &["flat", "flat"], "both"), "axis", 1),
            node("MatMul", &["both", "w"], "product"),
            node("Add", &["product", "zeros"], "y"),
        ],
        ..GraphProto::default()
    })
}

fn bases() -> Vec<Vec<u8>> {
    let bases = vec![conv_net(), odd_net().encode_to_vec()];
    for (i, base) in bases.iter().enumerate() {
        assert!(base.len() < 8192);
        assert!(check(base, SMALL, &format!("base {i}")), "{:?}", from_bytes("b", base).err());
    }
    bases
}

#[test]
fn truncated_and_damaged_bytes() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let mut rng = Rng::new(11);
    let mut count = 0;
    for (index, base) in bases().iter().enumerate() {
        let bound = import_memory_bound(base.len() as u64);
        for len in (0..base.len()).step_by(base.len() / 300 + 1) {
            check(&base[..len], SMALL, &format!("base {index} cut at {len}"));
            count += 1;
        }
        for case in 0..600 {
            let mut bytes = base.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(bytes.len());
                match case % 4 {
                    0 => bytes[at] ^= 1 << rng.below(8),
                    1 => bytes[at] = [0, 0x7f, 0x80, 0xff][rng.below(4)],
                    2 => {
                        let end = (at + 1 + rng.below(16)).min(bytes.len());
                        bytes.drain(at..end);
                    }
                    _ => {
                        let piece = bytes[at..(at + 40).min(bytes.len())].to_vec();
                        let to = rng.below(bytes.len());
                        bytes.splice(to..to, piece);
                    }
                }
            }
            check(&bytes, bound, &format!("base {index} damage {case}"));
            count += 1;
        }
    }
    assert!(count >= 1500, "{count}");
}

/// Numbers that overflow, wrap, or ask for much.
const HOSTILE: [i64; 12] =
    [0, -1, 1, 2, 255, 1 << 14, 1 << 20, 1 << 31, 1 << 40, i64::MAX, i64::MIN, -(1 << 31)];

/// One change that keeps the file well-formed protobuf.
fn mutate(model: &mut ModelProto, rng: &mut Rng) {
    let hostile = HOSTILE[rng.below(HOSTILE.len())];
    let graph = model.graph.as_mut().unwrap();
    let (nodes, stored) = (graph.node.len(), graph.initializer.len());
    let names: Vec<String> = graph.node.iter().flat_map(|n| n.output.clone()).collect();
    let inits: Vec<String> = graph.initializer.iter().map(|t| t.name().to_string()).collect();
    let (n, t) = (rng.below(nodes), rng.below(stored));
    match rng.below(18) {
        0 => graph.initializer[t].dims.push(hostile),
        1 => {
            let dims = &mut graph.initializer[t].dims;
            if let Some(dim) = dims.first_mut() {
                *dim = hostile;
            }
        }
        2 => graph.initializer[t].data_type = Some(rng.below(30) as i32),
        3 => drop(graph.initializer.remove(t)),
        4 => {
            let raw = graph.initializer[t].raw_data.clone().unwrap_or_default();
            graph.initializer[t].raw_data = Some(raw.slice(..raw.len() / 2));
        }
        5 => {
            let bytes = graph.initializer[t].int64_data.len();
            let values = std::iter::repeat_n(hostile, bytes);
            graph.initializer[t].int64_data = packed(values);
        }
        6 => {
            let attributes = &mut graph.node[n].attribute;
            if !attributes.is_empty() {
                let a = rng.below(attributes.len());
                attributes[a].i = Some(hostile);
                for value in &mut attributes[a].ints {
                    *value = hostile;
                }
            }
        }
        7 => drop(graph.node[n].attribute.pop()),
        8 => drop(graph.node[n].input.pop()),
        9 => {
            // A later name makes a cycle, an earlier one another net.
            let at = rng.below(graph.node[n].input.len().max(1));
            if let Some(input) = graph.node[n].input.get_mut(at) {
                *input = names[rng.below(names.len())].clone();
            }
        }
        10 => {
            let at = rng.below(graph.node[n].input.len().max(1));
            if let Some(input) = graph.node[n].input.get_mut(at) {
                *input = inits[rng.below(inits.len())].clone();
            }
        }
        11 => graph.node[n].output[0] = names[rng.below(names.len())].clone(),
        12 => {
            let from = rng.below(nodes);
            graph.node[n].op_type = graph.node[from].op_type.clone();
        }
        13 => {
            let tensor = graph.input[0].r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
            let dims = &mut tensor.unwrap().shape.as_mut().unwrap().dim;
            let at = rng.below(dims.len());
            dims[at].dim_value = Some(hostile);
        }
        14 => graph.output[0].name = Some(inits[rng.below(inits.len())].clone()),
        15 => model.opset_import[0].version = Some(rng.below(30) as i64),
        16 => {
            let copy = graph.node[n].clone();
            graph.node.insert(rng.below(nodes), copy);
        }
        _ => {
            let attribute = AttributeProto {
                name: Some(["axis", "pads", "auto_pad", "dilations", "group"][rng.below(5)].into()),
                ints: vec![hostile; rng.below(5)],
                i: Some(hostile),
                s: Some(Bytes::from_static(b"SAME_UPPER")),
                r#type: Some(rng.below(8) as i32),
                ..AttributeProto::default()
            };
            graph.node[n].attribute.push(attribute);
        }
    }
}

#[test]
fn hostile_numbers_names_and_types() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let mut rng = Rng::new(12);
    for (index, base) in bases().into_iter().enumerate() {
        let base = ModelProto::decode(base.as_slice()).unwrap();
        let mut imported = 0;
        for case in 0..1000 {
            let mut broken = base.clone();
            for _ in 0..=rng.below(3) {
                mutate(&mut broken, &mut rng);
            }
            let bytes = broken.encode_to_vec();
            let bound = import_memory_bound(bytes.len() as u64);
            imported += usize::from(check(&bytes, bound, &format!("base {index} change {case}")));
        }
        // Neither everything nor nothing gets through: the changes reach all stages.
        assert!((20..700).contains(&imported), "base {index}: {imported} of 1000 imported");
    }
}

/// A field of wire type 2.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut len = content.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    [bytes, content.to_vec()].concat()
}

#[test]
fn deep_nesting_does_not_recurse() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    // A body of If in a body of If, and so on: graph 1 > attribute 5 > graph 6.
    let mut graph = field(2, b"leaf");
    for _ in 0..2000 {
        let attribute = [field(1, b"then_branch"), field(6, &graph)].concat();
        let node = [field(4, b"If"), field(2, b"y"), field(5, &attribute)].concat();
        graph = field(1, &node);
    }
    let model = [field(8, &[0x10, 17]), field(7, &graph)].concat();
    assert!(!check(&model, SMALL, "nested bodies"));
    // Groups, which protobuf can nest without lengths.
    let groups = [vec![0x0b; 100_000], vec![0x0c; 100_000]].concat();
    assert!(!check(&groups, SMALL, "nested groups"));
    assert!(!check(&field(7, &groups), SMALL, "nested groups in the graph"));
}

#[test]
fn structure_that_swells_is_refused_or_bounded() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let case = |graph: &[u8], what: &str| -> bool {
        let file = [field(8, &[0x10, 17]), field(7, graph)].concat();
        check(&file, structure_bound(file.len()), what)
    };
    // Two bytes each in the file.
    assert!(!case(&field(1, &[]).repeat(1 << 20), "empty nodes"));
    assert!(!case(&field(5, &[]).repeat(1 << 20), "empty initializers"));
    assert!(!case(&field(11, &[]).repeat(1 << 20), "empty inputs"));
    assert!(!case(&field(1, &field(1, &[]).repeat(1 << 22)), "empty names"));
    assert!(!case(&field(1, &field(5, &[]).repeat(1 << 20)), "empty attributes"));
    let dims = field(5, &field(1, &vec![1; 1 << 23]));
    assert!(!case(&dims, "many dimensions"));
    // The largest structure that gets through: chains of small nodes and small tensors.
    let mut chain = odd_net().graph.unwrap();
    let input = chain.input[0].name().to_string();
    chain.node = (0..90_000)
        .map(|i| {
            let from = if i == 0 { input.clone() } else { format!("{}", i - 1) };
            node("Relu", &[&from], &i.to_string())
        })
        .collect();
    chain.output[0].name = Some("89999".into());
    assert!(case(&chain.encode_to_vec(), "a long chain"));
    chain.node[0].input[0] = "89999".into();
    assert!(!case(&chain.encode_to_vec(), "a long cycle"));
    chain.node.truncate(1);
    chain.node[0] = node("Relu", &["x"], "89999");
    chain.initializer = (0..60_000).map(|i| float_tensor(&i.to_string(), &[])).collect();
    assert!(case(&chain.encode_to_vec(), "many scalars"));
    // One node that becomes many, under a long name.
    let mut split = with_int(node("Split", &["x"], "a"), "axis", 1);
    split.name = Some("long".repeat(1 << 16));
    split.output = (0..120_000).map(|i| i.to_string()).collect();
    chain.initializer.clear();
    chain.input[0] = info("x", &[1, 120_000, 1, 1, 1, 1, 1, 1]);
    chain.node[0] = split;
    assert!(case(&chain.encode_to_vec(), "many parts"));
    chain.node[0] = node("Sum", &vec!["x"; 120_000], "89999");
    assert!(case(&chain.encode_to_vec(), "many addends"));
    // An input with a long name and many unnamed dimensions.
    chain.input[0] = info("x", &vec![-1; 200_000]);
    chain.input[0].name = Some("long".repeat(1 << 16));
    assert!(!case(&chain.encode_to_vec(), "many symbols"));
}

#[test]
fn computed_constants_are_bounded() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    // Each node asks for 2^23 elements; together they exceed any memory.
    let stored = int_tensor("shape", &[1], &[1 << 23]);
    let mut nodes: Vec<NodeProto> =
        (0..1000).map(|i| node("ConstantOfShape", &["shape"], &format!("c{i}"))).collect();
    nodes.push(node("Relu", &["x"], "y"));
    let graph = |nodes: Vec<NodeProto>, stored: TensorProto| {
        let (input, output) = (vec![info("x", &[1])], vec![info("y", &[])]);
        let graph = GraphProto { input, output, node: nodes, ..GraphProto::default() };
        model(GraphProto { initializer: vec![stored], ..graph }).encode_to_vec()
    };
    let bytes = graph(nodes, stored);
    assert!(!check(&bytes, import_memory_bound(bytes.len() as u64), "many large constants"));
    // Doubling: 2^40 elements after forty nodes.
    let mut nodes: Vec<NodeProto> = (0..40)
        .map(|i| {
            let from = if i == 0 { "w".to_string() } else { format!("d{}", i - 1) };
            with_int(node("Concat", &[&from, &from], &format!("d{i}")), "axis", 0)
        })
        .collect();
    nodes.push(node("Relu", &["x"], "y"));
    let bytes = graph(nodes, float_tensor("w", &[1]));
    assert!(!check(&bytes, import_memory_bound(bytes.len() as u64), "doubling"));
    // Long vectors in shape computations, each a little other than the last.
    let mut nodes: Vec<NodeProto> = (0..60_000)
        .map(|i| {
            let from = if i == 0 { "w".to_string() } else { format!("d{}", i - 1) };
            node("Neg", &[&from], &format!("d{i}"))
        })
        .collect();
    nodes.push(node("Relu", &["x"], "y"));
    let bytes = graph(nodes, int_tensor("w", &[256], &[1; 256]));
    assert!(!check(&bytes, import_memory_bound(bytes.len() as u64), "shape vectors"));
}

#[test]
fn the_allocator_counts() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    drop(std::hint::black_box(Tensor::zeros([1 << 20]).unwrap()));
    assert!(MEMORY.peak_usage() - before >= 4 << 20);
}
