//! Every operator with hostile attributes, constants and shapes: an error or a valid graph, without
//! a panic, soon, within the memory that import states.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use edgecut_graph::onnx::proto::*;
use edgecut_graph::onnx::{
    from_bytes, import_memory_bound, supported, supported_microsoft, to_bytes,
};
use edgecut_graph::rng::Rng;
use edgecut_testkit::operator_cases;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Tests of this file take turns: memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// Imports `model` and returns whether that worked.
fn check(model: &ModelProto, what: &str) -> bool {
    let bytes = model.encode_to_vec();
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| from_bytes("broken", &bytes)));
    let (peak, time) = (MEMORY.peak_usage().saturating_sub(before) as u64, start.elapsed());
    let Ok(result) = result else { panic!("{what}: import panicked: {model:?}") };
    assert!(peak <= import_memory_bound(bytes.len() as u64), "{what}: {peak} bytes: {model:?}");
    assert!(time < Duration::from_secs(5), "{what}: took {time:?}: {model:?}");
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

/// Numbers that overflow, wrap, or ask for much.
const HOSTILE: [i64; 16] = [
    0,
    -1,
    1,
    2,
    7,
    255,
    1 << 14,
    1 << 20,
    1 << 31,
    1 << 40,
    i64::MAX,
    i64::MIN,
    -(1 << 31),
    -2,
    i64::MAX - 1,
    1 << 62,
];

const FLOATS: [f32; 9] =
    [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0, 1e-30, 1e30, f32::MAX, 0.5];

const TEXTS: [&str; 12] = [
    "",
    "SAME_LOWER",
    "VALID",
    "nearest",
    "cubic",
    "tf_crop_and_resize",
    "wrap",
    "not_smaller",
    "...ii->i",
    "ab,bc,cd",
    "->",
    "\u{0}",
];

fn hostile(rng: &mut Rng) -> i64 {
    HOSTILE[rng.below(HOSTILE.len())]
}

fn damage_attribute(attribute: &mut AttributeProto, rng: &mut Rng) {
    match attribute.r#type() {
        attribute_type::INT => attribute.i = Some(hostile(rng)),
        attribute_type::FLOAT => attribute.f = Some(FLOATS[rng.below(FLOATS.len())]),
        attribute_type::STRING => {
            attribute.s = Some(Bytes::from_static(TEXTS[rng.below(TEXTS.len())].as_bytes()));
        }
        attribute_type::INTS => match rng.below(4) {
            0 => attribute.ints.push(hostile(rng)),
            1 => drop(attribute.ints.pop()),
            2 => attribute.ints.fill(hostile(rng)),
            _ => {
                let at = rng.below(attribute.ints.len().max(1));
                if let Some(value) = attribute.ints.get_mut(at) {
                    *value = hostile(rng);
                }
            }
        },
        _ => attribute.floats = vec![FLOATS[rng.below(FLOATS.len())]; rng.below(9)],
    }
}

/// Other elements in a stored tensor, or other extents.
fn damage_tensor(tensor: &mut TensorProto, rng: &mut Rng) {
    let count = tensor.dims.iter().product::<i64>().clamp(0, 64) as usize;
    match (tensor.data_type(), rng.below(4)) {
        (data_type::INT64, 1..) => {
            tensor.raw_data = None;
            tensor.int64_data =
                packed((0..count).map(|_| hostile(rng)).collect::<Vec<_>>().into_iter());
        }
        (data_type::FLOAT, 2..) => {
            let values = (0..count).flat_map(|_| FLOATS[rng.below(FLOATS.len())].to_le_bytes());
            tensor.raw_data = Some(values.collect::<Vec<u8>>().into());
            tensor.float_data = Bytes::new();
        }
        (_, 0) => tensor.dims = vec![tensor.dims.iter().product()],
        _ => tensor.data_type = Some(rng.below(17) as i32),
    }
}

/// One change that keeps the file well-formed.
fn damage(model: &mut ModelProto, rng: &mut Rng) {
    if rng.below(8) == 0 {
        model.opset_import[0].version = Some(6 + rng.below(20) as i64);
        return;
    }
    let graph = model.graph.as_mut().unwrap();
    let n = rng.below(graph.node.len());
    let node = &mut graph.node[n];
    match rng.below(8) {
        0..4 if !node.attribute.is_empty() => {
            let at = rng.below(node.attribute.len());
            damage_attribute(&mut node.attribute[at], rng);
        }
        4 if !node.attribute.is_empty() => {
            let at = rng.below(node.attribute.len());
            node.attribute.remove(at);
        }
        5 if !node.input.is_empty() => {
            let (from, to) = (rng.below(node.input.len()), rng.below(node.input.len()));
            node.input[to] =
                if rng.below(2) == 0 { String::new() } else { node.input[from].clone() };
        }
        6 if !graph.input.is_empty() => {
            let input = rng.below(graph.input.len());
            let tensor = graph.input[input].r#type.as_mut().and_then(|t| t.tensor_type.as_mut());
            let dims = tensor.and_then(|t| t.shape.as_mut()).map(|s| &mut s.dim);
            if let Some(dim) = dims.and_then(|dims| dims.first_mut()) {
                dim.dim_value = Some(hostile(rng));
            }
        }
        _ if !graph.initializer.is_empty() => {
            let at = rng.below(graph.initializer.len());
            damage_tensor(&mut graph.initializer[at], rng);
        }
        _ => drop(node.input.pop()),
    }
}

/// Damages each model in many ways. Returns how many imported nevertheless.
fn attack(bases: &[(String, ModelProto)], rounds: usize) -> usize {
    let mut rng = Rng::new(21);
    let mut imported = 0;
    for (name, base) in bases {
        assert!(check(base, name), "{name}: {:?}", from_bytes("b", &base.encode_to_vec()).err());
        for round in 0..rounds {
            let mut broken = base.clone();
            for _ in 0..=rng.below(3) {
                damage(&mut broken, &mut rng);
            }
            imported += usize::from(check(&broken, &format!("{name}, change {round}")));
        }
    }
    imported
}

#[test]
fn operators_of_the_graph() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let mut bases = vec![];
    for case in operator_cases() {
        let bytes = to_bytes(&case.graph).unwrap();
        bases.push((case.name, ModelProto::decode(bytes.as_slice()).unwrap()));
    }
    let imported = attack(&bases, 30);
    let all = bases.len() * 30;
    // Neither everything nor nothing gets through: the changes reach all stages.
    assert!(imported > all / 20 && imported < all * 9 / 10, "{imported} of {all} imported");
}

/// A model of one node: `inputs` are `name:f32:1x2x4x4` for an input of the graph and
/// `name=u8:2:1,2` for a stored tensor, or the name of one before, or empty; attributes are `name=3`, `name=0.5`,
/// `name=1,2` or `name="text"`.
fn single(opset: i64, domain: &str, op: &str, inputs: &[&str], attributes: &[&str]) -> ModelProto {
    let mut graph = GraphProto::default();
    let mut names = vec![];
    for input in inputs {
        let (name, rest) = input.split_once([':', '=']).unwrap_or((input, ""));
        names.push(name.to_string());
        if rest.is_empty() {
            continue;
        }
        let mut parts = rest.split(':');
        let kind = kind(parts.next().unwrap());
        let dims: Vec<i64> =
            parts.next().unwrap().split('x').filter_map(|d| d.parse().ok()).collect();
        match input.contains('=') {
            true => graph.initializer.push(stored(name, kind, dims, parts.next().unwrap())),
            false => graph.input.push(info(name, kind, &dims)),
        }
    }
    graph.node.push(NodeProto {
        input: names,
        output: vec!["y".into()],
        op_type: Some(op.into()),
        domain: Some(domain.into()),
        attribute: attributes.iter().map(|text| attribute(text)).collect(),
        ..NodeProto::default()
    });
    graph.output.push(ValueInfoProto { name: Some("y".into()), r#type: None });
    let set = |domain: &str, version| OperatorSetIdProto {
        domain: Some(domain.into()),
        version: Some(version),
    };
    let opset_import = vec![set("", opset), set("com.microsoft", 1)];
    ModelProto { graph: Some(graph), opset_import, ir_version: Some(8), ..ModelProto::default() }
}

fn kind(name: &str) -> i32 {
    match name {
        "f32" => data_type::FLOAT,
        "u8" => data_type::UINT8,
        "i8" => data_type::INT8,
        "i32" => data_type::INT32,
        "bool" => data_type::BOOL,
        _ => data_type::INT64,
    }
}

fn stored(name: &str, kind: i32, dims: Vec<i64>, values: &str) -> TensorProto {
    let numbers: Vec<f32> = values.split(',').filter_map(|v| v.parse().ok()).collect();
    let ints = packed(numbers.iter().map(|&v| v as i64).collect::<Vec<_>>().into_iter());
    let mut tensor = TensorProto {
        dims,
        data_type: Some(kind),
        name: Some(name.into()),
        ..TensorProto::default()
    };
    match kind {
        data_type::FLOAT => {
            tensor.raw_data =
                Some(numbers.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>().into());
        }
        data_type::INT64 => tensor.int64_data = ints,
        _ => tensor.int32_data = ints,
    }
    tensor
}

fn info(name: &str, kind: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| DimensionProto { dim_value: Some(d), dim_param: None });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: Some(kind), shape });
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type }) }
}

fn attribute(text: &str) -> AttributeProto {
    let (name, value) = text.split_once('=').unwrap();
    let mut attribute = AttributeProto { name: Some(name.into()), ..AttributeProto::default() };
    let ints: Option<Vec<i64>> = value.split(',').map(|v| v.parse().ok()).collect();
    attribute.r#type = Some(match (value.strip_prefix('"'), ints) {
        (Some(text), _) => {
            attribute.s = Some(text.trim_end_matches('"').as_bytes().to_vec().into());
            attribute_type::STRING
        }
        (None, Some(ints)) if ints.len() == 1 && !text.ends_with(',') => {
            attribute.i = Some(ints[0]);
            attribute_type::INT
        }
        (None, Some(ints)) => {
            attribute.ints = ints;
            attribute_type::INTS
        }
        (None, None) if value.contains(',') => {
            attribute.floats = value.split(',').filter_map(|v| v.parse().ok()).collect();
            attribute_type::FLOATS
        }
        (None, None) => {
            attribute.f = value.parse().ok();
            attribute_type::FLOAT
        }
    });
    attribute
}

const IMAGE: &str = "x:f32:1x4x6x6";
const QUANTISED: [&str; 3] = ["x:u8:1x4x6x6", "xs=f32::0.1", "xz=u8::3"];
const RESULT: [&str; 2] = ["ys=f32::0.2", "yz=u8::4"];

fn with<'a>(first: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [first, rest].concat()
}

/// Operators that only import knows, and old forms of others.
fn forms() -> Vec<ModelProto> {
    let onnx = |opset, op: &str, inputs: &[&str], attributes: &[&str]| {
        single(opset, "", op, inputs, attributes)
    };
    let scales = "scales=1.0,1.0,2.0,2.0";
    vec![
        onnx(6, "Add", &[IMAGE, "b=f32:4:1,2,3,4"], &["broadcast=1", "axis=1"]),
        onnx(6, "PRelu", &[IMAGE, "b=f32:4:1,2,3,4"], &[]),
        onnx(6, "Gemm", &["a:f32:2x3", "b:f32:3x2", "c=f32:2:1,2"], &["broadcast=1", "alpha=0.5"]),
        onnx(8, "Upsample", &[IMAGE], &[scales, "mode=\"nearest\""]),
        onnx(9, "Upsample", &[IMAGE, "s=f32:4:1,1,2,2"], &["mode=\"linear\""]),
        onnx(10, "Resize", &[IMAGE, "s=f32:4:1,1,0.5,0.5"], &["mode=\"nearest\""]),
        onnx(9, "Slice", &[IMAGE], &["starts=0,1", "ends=2,5", "axes=2,3"]),
        onnx(13, "Slice", &[IMAGE, "s=i64:1:5", "e=i64:1:0", "a=i64:1:3", "t=i64:1:-2"], &[]),
        onnx(10, "Pad", &[IMAGE], &["pads=0,0,1,1,0,0,-1,1", "value=0.5"]),
        onnx(19, "Pad", &[IMAGE, "p=i64:2:1,-1", "", "a=i64:1:2"], &["mode=\"constant\""]),
        onnx(9, "TopK", &[IMAGE], &["k=2", "axis=3"]),
        onnx(11, "Softmax", &[IMAGE], &["axis=1"]),
        onnx(9, "Scatter", &["x:f32:3x3", "i=i64:1x2:0,2", "u:f32:1x2"], &["axis=1"]),
        onnx(13, "Clip", &[IMAGE, "a:f32:", "b:f32:"], &[]),
        onnx(13, "Compress", &[IMAGE, "c=bool:3:1,0,1"], &["axis=2"]),
        onnx(18, "CenterCropPad", &[IMAGE, "s=i64:2:9,3"], &["axes=2,3"]),
        onnx(9, "EyeLike", &["x:f32:3x4"], &["k=1", "dtype=6"]),
        onnx(11, "Range", &["a=f32::1", "b=f32::9", "c=f32::2"], &[]),
        onnx(12, "Einsum", &["a:f32:2x3x4", "b:f32:2x4x5"], &["equation=\"bij,bjk->bik\""]),
        onnx(12, "Einsum", &["a:f32:2x3x3"], &["equation=\"...ii->...i\""]),
        onnx(13, "MatMul", &["a:f32:3", "b:f32:3x2"], &[]),
        onnx(18, "GroupNormalization", &[IMAGE, "s=f32:2:1,2", "b=f32:2:1,2"], &["num_groups=2"]),
        onnx(17, "LayerNormalization", &[IMAGE, "s=f32:6:1,1,1,1,1,1"], &["axis=-1"]),
        onnx(23, "RMSNormalization", &[IMAGE, "s=f32:6:1,1,1,1,1,1"], &["axis=-1"]),
        onnx(13, "MeanVarianceNormalization", &[IMAGE], &["axes=0,2,3"]),
        onnx(24, "Swish", &[IMAGE], &["alpha=0.5"]),
        onnx(22, "GlobalLpPool", &[IMAGE], &["p=3"]),
        onnx(22, "GlobalMaxPool", &[IMAGE], &[]),
        onnx(13, "Mean", &[IMAGE, "x"], &[]),
        onnx(13, "Sum", &[IMAGE, "x", "b=f32:6:1,2,3,4,5,6"], &[]),
        onnx(19, "CastLike", &[IMAGE, "b=i8:1:1"], &["saturate=1"]),
        onnx(18, "Split", &[IMAGE, "p=i64:1:4"], &["axis=1"]),
        onnx(18, "Split", &[IMAGE], &["axis=1", "num_outputs=1"]),
        onnx(13, "Tan", &[IMAGE], &[]),
        onnx(13, "Dropout", &[IMAGE, "r=f32::0.5", "t=bool::0"], &["seed=1"]),
        onnx(11, "Conv", &["x:f32:1x2x9", "w:f32:4x1x3"], &["group=2", "auto_pad=\"SAME_UPPER\""]),
        onnx(
            11,
            "ConvTranspose",
            &[IMAGE, "w:f32:4x2x3x3"],
            &["output_shape=12,13", "strides=2,2", "output_padding=1,1", "dilations=1,1"],
        ),
        onnx(
            10,
            "QLinearConv",
            &with(
                &with(
                    &QUANTISED,
                    &["w=i8:2x4x1x1:1,2,3,4,5,6,7,8", "ws=f32:2:0.1,0.2", "wz=i8::0"],
                ),
                &with(&RESULT, &["b=i32:2:5,6"]),
            ),
            &["pads=1,1,1,1", "kernel_shape=1,1"],
        ),
        onnx(
            21,
            "QLinearMatMul",
            &with(
                &[
                    "a:u8:2x3",
                    "as=f32::0.1",
                    "az=u8::1",
                    "b:i8:3x2",
                    "bs=f32:2:0.1,0.2",
                    "bz=i8:2:0,1",
                ],
                &RESULT,
            ),
            &[],
        ),
    ]
}

fn microsoft() -> Vec<ModelProto> {
    let ours = |op: &str, inputs: &[&str], attributes: &[&str]| {
        single(13, "com.microsoft", op, inputs, attributes)
    };
    let one = with(&QUANTISED, &RESULT);
    let two = with(&with(&QUANTISED, &["b:u8:4x1x1", "bs=f32::0.3", "bz=u8::5"]), &RESULT);
    let joined = with(&with(&RESULT, &QUANTISED), &["b:u8:1x2x6x6", "bs=f32::0.3", "bz=u8::5"]);
    let gemm =
        ["a:u8:2x3", "as=f32::0.1", "az=u8::1", "b:i8:3x2", "bs=f32:2:0.1,0.2", "bz=i8:2:0,1"];
    vec![
        ours("QLinearAdd", &two, &[]),
        ours("QLinearMul", &two, &[]),
        ours("QLinearConcat", &joined, &["axis=1"]),
        ours("QLinearSigmoid", &one, &[]),
        ours("QLinearLeakyRelu", &one, &["alpha=0.1"]),
        ours("QLinearSoftmax", &one, &["axis=1", "opset=13"]),
        ours("QLinearSoftmax", &one, &["axis=1", "opset=11"]),
        ours("QLinearGlobalAveragePool", &one, &["channels_last=0"]),
        ours("QLinearAveragePool", &one, &["kernel_shape=2,2", "strides=2,2", "ceil_mode=1"]),
        ours("QGemm", &with(&gemm, &with(&["c=i32:2:1,2"], &RESULT)), &["alpha=0.5", "transA=0"]),
        ours("QuantizeLinear", &[IMAGE, RESULT[0], RESULT[1]], &["axis=1"]),
        ours("DequantizeLinear", &QUANTISED, &["axis=1"]),
        ours("Gelu", &[IMAGE], &[]),
        ours("BiasGelu", &[IMAGE, "b=f32:6:1,2,3,4,5,6"], &[]),
        ours("FastGelu", &[IMAGE, "b=f32:6:1,2,3,4,5,6"], &[]),
        ours("QuickGelu", &[IMAGE], &["alpha=1.5"]),
        ours(
            "FusedConv",
            &[IMAGE, "w:f32:4x1x3x3", "b=f32:4:1,2,3,4", "z:f32:1x4x4x4"],
            &["group=4", "activation=\"Clip\"", "activation_params=0.5,6.5"],
        ),
    ]
}

#[test]
fn other_forms_and_domains() {
    let _turn = TURN.lock().unwrap_or_else(|e| e.into_inner());
    let mut bases = vec![];
    for base in forms().into_iter().chain(microsoft()) {
        let op = base.graph.as_ref().unwrap().node[0].op_type().to_string();
        bases.push((op, base));
    }
    let imported = attack(&bases, 200);
    let all = bases.len() * 200;
    assert!(imported > all / 20 && imported < all * 9 / 10, "{imported} of {all} imported");
}

#[test]
fn every_operator_is_attacked() {
    let mut names: Vec<String> = vec![];
    for case in operator_cases() {
        let bytes = to_bytes(&case.graph).unwrap();
        let graph = ModelProto::decode(bytes.as_slice()).unwrap().graph.unwrap();
        names.extend(graph.node.iter().map(|n| n.op_type().to_string()));
    }
    let named = |m: &ModelProto| m.graph.as_ref().unwrap().node[0].op_type().to_string();
    names.extend(forms().iter().map(named));
    // Constants and shapes are what onnx_broken.rs attacks.
    names.extend(["Constant", "ConstantOfShape", "Identity", "Shape", "Size"].map(String::from));
    let missing = supported().iter().filter(|op| !names.iter().any(|name| name == *op));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
    let ours: Vec<String> = microsoft().iter().map(named).collect();
    let missing = supported_microsoft().iter().filter(|op| !ours.iter().any(|name| name == *op));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
}
