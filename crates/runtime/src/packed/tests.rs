use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Graph, Op, PadMode, Tensor, Unary, Window};
use edgecut_kernels::{Isa, Pool};

use super::Storage::{Coded, Plain};
use super::*;
use crate::{CompileOptions, Session, compile};

/// Convolutions of all kinds, what moves elements, and an operator of the interpreter.
fn float() -> Graph {
    let mut b = Builder::new("float", 1);
    let x = b.input("x", [1.into(), 3.into(), 9.into(), 9.into()]);
    let x = b.conv(x, "stem", 8, Window::same(3, 2), 1, true).unwrap();
    let x = b.relu6(x).unwrap();
    let y = b.conv(x, "depthwise", 8, Window::same(3, 1), 8, true).unwrap();
    let y = b.conv(y, "grouped", 8, Window::same(3, 1), 2, true).unwrap();
    let y = b.conv(y, "pointwise", 8, Window::same(1, 1), 1, true).unwrap();
    let x = b.add(x, y).unwrap();
    let (before, after) = (vec![0, 0, 1, 1], vec![0, 0, 1, 1]);
    let y = b.apply("pad", Op::Pad { before, after, mode: PadMode::Reflect }, &[x]).unwrap();
    let y = b.max_pool(y, Window::new([3, 3], [1, 1])).unwrap();
    let y = b.apply("gelu", Op::Unary(Unary::Gelu { tanh: false }), &[y]).unwrap();
    let x = b.concat(&[x, y], 1).unwrap();
    let x = b.apply("shuffle", Op::ChannelShuffle { groups: 2 }, &[x]).unwrap();
    let x = b.apply("sum", Op::CumSum { axis: 1, exclusive: false, reverse: true }, &[x]).unwrap();
    let x = b.global_average_pool(x).unwrap();
    let x = b.flatten(x).unwrap();
    let x = b.linear(x, "linear", 10).unwrap();
    let x = b.apply("softmax", Op::Softmax { axis: 1 }, &[x]).unwrap();
    b.finish(&[x]).unwrap()
}

/// A section in integers: convolution, addition, table, mean.
fn int8() -> Graph {
    let mut b = Builder::new("int8", 1);
    let x = b.input("x", [1.into(), 8.into(), 5.into(), 5.into()]);
    let scale = b.constant("scale", Tensor::scalar(0.05));
    let zero = b.constant("zero", Tensor::new([], vec![120u8]).unwrap());
    let requantise = |b: &mut Builder, x, name: &str| {
        let q = b.apply(&format!("{name}.q"), Op::Quantize { axis: 1 }, &[x, scale, zero]).unwrap();
        b.apply(&format!("{name}.d"), Op::Dequantize { axis: 1 }, &[q, scale, zero]).unwrap()
    };
    let x = requantise(&mut b, x, "x");
    let codes: Vec<i8> = (0..8 * 8 * 9).map(|i| (i * 37 % 255 - 127) as i8).collect();
    let codes = b.constant("w", Tensor::new([8, 8, 3, 3], codes).unwrap());
    let w_scale = b.constant("w_scale", Tensor::scalar(0.004));
    let w = b.apply("w.d", Op::Dequantize { axis: 0 }, &[codes, w_scale]).unwrap();
    let conv = edgecut_graph::Conv { window: Window::same(3, 1), groups: 1 };
    let y = b.apply("conv", Op::Conv(conv), &[x, w]).unwrap();
    let y = requantise(&mut b, y, "y");
    let y = b.add(x, y).unwrap();
    let y = requantise(&mut b, y, "sum");
    let y = b.apply("sigmoid", Op::Unary(Unary::Sigmoid), &[y]).unwrap();
    let y = requantise(&mut b, y, "gate");
    let y = b.global_average_pool(y).unwrap();
    let y = requantise(&mut b, y, "mean");
    b.finish(&[y]).unwrap()
}

/// A pointwise convolution with weights that are mostly zero.
fn sparse() -> Graph {
    let mut b = Builder::new("sparse", 1);
    let x = b.input("x", [1.into(), 64.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "pointwise", 64, Window::same(1, 1), 1, true).unwrap();
    let mut graph = b.finish(&[x]).unwrap();
    let id = graph.nodes[0].input(1).unwrap();
    let weights = graph.constant(id).unwrap().f32s().unwrap();
    let some = weights.iter().enumerate().map(|(i, &w)| if i % 11 == 0 { w } else { 0.0 });
    let some = Tensor::new([64, 64, 1, 1], some.collect::<Vec<f32>>()).unwrap();
    graph.set_constant(id, some);
    graph
}

fn plan(graph: &Graph) -> Arc<Plan> {
    Arc::new(compile(graph, &CompileOptions::default()).unwrap())
}

/// The packed file of a graph.
fn packed(graph: &Graph, storage: Storage) -> Vec<u8> {
    let file = tempfile::tempdir().unwrap();
    let path = file.path().join("model.ecut");
    pack(&[plan(graph)], &Facts::default(), storage, &path).unwrap();
    std::fs::read(path).unwrap()
}

fn open(bytes: &[u8]) -> Result<Packed, PackedError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    match Packed::open(file.path()) {
        Ok(packed) => Ok(packed),
        Err(RuntimeError::Packed { path, source }) if path == file.path() => Err(source),
        Err(other) => panic!("another error: {other}"),
    }
}

fn run(plan: &Arc<Plan>) -> Vec<Tensor> {
    let shape = plan.inputs()[0].shape.clone();
    let mut rng = Rng::new(7);
    let x: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    let mut session = Session::new(Arc::clone(plan), Arc::new(Pool::new(2)));
    session.infer(&[Tensor::new(shape, x).unwrap()]).unwrap()
}

#[test]
fn a_packed_plan_gives_the_same_bits() {
    let graphs = [float(), int8(), sparse()].into_iter();
    for (graph, storage) in graphs.flat_map(|graph| [(graph.clone(), Plain), (graph, Coded)]) {
        let packed = open(&packed(&graph, storage)).unwrap();
        packed.verify().unwrap();
        assert_eq!(packed.coded_bytes().is_some(), storage == Coded);
        let (ours, theirs) = (plan(&graph), &packed.plans()[0]);
        assert_eq!(format!("{:?}", ours.steps()), format!("{:?}", theirs.steps()));
        assert_eq!(ours.weight_bytes(), theirs.weight_bytes());
        assert_eq!(run(&ours), run(theirs), "{}", graph.name);
    }
}

#[test]
fn the_first_byte_that_is_wrong_decides_what_is_said() {
    let good = packed(&int8(), Plain);
    let with = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        open(&bytes).unwrap_err()
    };
    assert_eq!(open(b"not a model, but text").unwrap_err(), PackedError::Magic);
    assert_eq!(open(&good[..7]).unwrap_err(), PackedError::Magic);
    assert_eq!(with(3, b'X'), PackedError::Magic);
    let error = with(8, 99);
    assert!(
        matches!(&error, PackedError::Version { format: 99, writer, .. } if writer == env!("CARGO_PKG_VERSION")),
        "{error}"
    );
    assert_eq!(with(20, b'!'), PackedError::Damaged { part: "header" });
    assert_eq!(with(130, !good[130]), PackedError::Damaged { part: "metadata" });
    let damaged = |part| PackedError::Damaged { part };
    let mut data = good.clone();
    *data.last_mut().unwrap() ^= 1;
    assert_eq!(open(&data).unwrap().verify(), Err(damaged("data")));
    assert_eq!(open(&[&good[..], &[0]].concat()).unwrap_err(), damaged("header"));
    for end in (8..good.len()).step_by(97) {
        let error = open(&good[..end]).unwrap_err();
        assert!(matches!(error, PackedError::Truncated { found, .. } if found == end), "{error}");
    }
}

/// `bytes` with a header that fits whatever was changed behind it.
fn resealed(bytes: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let header = Header::read(bytes).unwrap();
    let mut metadata = bytes[header.metadata.clone()].to_vec();
    change(&mut metadata);
    let (head, gap) =
        Header::of(&metadata, &bytes[header.data.clone()], header.decoded, Isa::detect());
    [&head[..], &metadata, &vec![0; gap], &bytes[header.data]].concat()
}

#[test]
fn other_layouts_and_missing_instructions_are_named() {
    let good = packed(&int8(), Plain);
    let with = |at: usize, field: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + field.len()].copy_from_slice(field);
        let crc = crc32fast::hash(&bytes[..88]);
        bytes[88..92].copy_from_slice(&crc.to_le_bytes());
        open(&bytes).unwrap_err()
    };
    assert!(matches!(with(28, &[77]), PackedError::Layout { layout: 77, .. }));
    let foreign = if cfg!(target_arch = "aarch64") { "avx2" } else { "neon" };
    let error = with(32, format!("{foreign}\0").as_bytes());
    assert!(matches!(&error, PackedError::Isa { needed, .. } if needed == foreign), "{error}");
    assert_eq!(with(56, &u64::MAX.to_le_bytes()), PackedError::Damaged { part: "header" });
    assert!(matches!(with(64, &[255; 4]), PackedError::Truncated { .. }));
}

/// Whoever makes a file can give it right checksums: then the plan's own checks must hold. A file
/// is refused, or it runs to some end.
#[test]
fn changed_metadata_is_an_error_or_another_plan() {
    let (mut refused, mut ran) = (0, 0);
    let graphs = [(float(), Plain), (int8(), Plain), (int8(), Coded), (sparse(), Plain)];
    for (graph, storage) in graphs {
        let good = packed(&graph, storage);
        let mut rng = Rng::new(3);
        for round in 0..1000 {
            let bytes = resealed(&good, |metadata| {
                for _ in 0..1 + round % 3 {
                    let at = rng.below(metadata.len());
                    metadata[at] = match rng.below(4) {
                        0 => metadata[at].wrapping_add(1),
                        1 => metadata[at] ^ 1 << rng.below(8),
                        2 => 0xFF,
                        _ => rng.below(256) as u8,
                    };
                }
            });
            match open(&bytes) {
                Err(_) => refused += 1,
                Ok(packed) => {
                    let plan = &packed.plans()[0];
                    if plan.arena_bytes() + plan.scratch_bytes(1) < 64 << 20 {
                        let pool = Arc::new(Pool::new(1));
                        // An operator of the interpreter may refuse its operands.
                        let _ = Session::new(Arc::clone(plan), pool).run();
                        ran += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 150 && ran > 150, "{refused} refused, {ran} ran");
}

#[test]
fn plans_of_several_shapes_share_their_weights() {
    let mut b = Builder::new("net", 5);
    let x = b.input("x", ["n".into(), 3.into(), 8.into(), 8.into()]);
    let x = b.conv(x, "conv", 40, Window::same(3, 1), 1, true).unwrap();
    let graph = b.finish(&[x]).unwrap();
    let batch = |batch| {
        let options = CompileOptions { batch, ..CompileOptions::default() };
        Arc::new(compile(&graph, &options).unwrap())
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.ecut");
    pack(&[batch(1), batch(4)], &Facts::default(), Plain, &path).unwrap();
    let packed = Packed::open(&path).unwrap();
    assert!(packed.data_bytes() < batch(1).weight_bytes() + 128, "{}", packed.data_bytes());
    assert_eq!(packed.plan_for(&[vec![4, 3, 8, 8]]).unwrap().batch(), 4);
    let error = packed.plan_for(&[vec![2, 3, 8, 8]]).unwrap_err().to_string();
    assert!(error.contains("[[1, 3, 8, 8]]") && error.contains("[2, 3, 8, 8]"), "{error}");
    let error = pack(&[batch(1), batch(1)], &Facts::default(), Plain, &path).unwrap_err();
    assert!(error.to_string().contains("two plans"), "{error}");
    assert!(Packed::open(&path).is_ok(), "the file before is still there");
}

#[test]
fn broken_coded_models_are_refused() {
    let good = packed(&int8(), Coded);
    let header = Header::read(&good).unwrap();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(open(&damaged).unwrap_err(), PackedError::Damaged { part: "data" });
    // With right checksums: other bytes, and other sizes than the arrays'.
    let sealed = |data: &[u8], decoded: usize| {
        let metadata = &good[header.metadata.clone()];
        let (head, gap) = Header::of(metadata, data, Some(decoded), Isa::detect());
        open(&[&head[..], metadata, &vec![0; gap], data].concat())
    };
    let (data, decoded) = (&good[header.data.clone()], header.decoded.unwrap());
    assert!(sealed(data, decoded).is_ok());
    for wrong in [1, decoded - 1, decoded + 1, decoded * 1000, usize::MAX] {
        let error = sealed(data, wrong).unwrap_err();
        assert!(matches!(error, PackedError::Invalid { .. }), "{wrong}: {error}");
    }
    for end in (0..data.len()).step_by(11) {
        assert!(sealed(&data[..end], decoded).is_err(), "cut off after {end}");
    }
}
