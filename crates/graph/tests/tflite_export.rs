//! Written TensorFlow Lite files: the same function when read again, and in LiteRT.

use std::collections::{BTreeMap, BTreeSet};

use edgecut_graph::interpret::run;
use edgecut_graph::rng::Rng;
use edgecut_graph::tflite::{from_bytes, to_bytes};
use edgecut_graph::{DType, Graph, Tensor};
use edgecut_testkit::{
    Family, Kernels, LiteRt, assert_close, largest_step, random_graph, random_inputs,
    relative_error, shared_data,
};

fn random_image(graph: &Graph) -> Tensor {
    let shape = graph.value(graph.inputs[0]).shape.with_symbols(1);
    let mut rng = Rng::new(5);
    let bytes: Vec<u8> = (0..shape.iter().product()).map(|_| rng.below(256) as u8).collect();
    Tensor::new(shape, bytes).unwrap()
}

/// A public uint8 model survives reading and writing bit for bit, and LiteRT computes the same from
/// the original and from what was written.
fn round_trip(file: &str) {
    let Some(path) = shared_data(&format!("models/{file}")) else { return };
    let original = std::fs::read(&path).unwrap();
    let graph = from_bytes(file, &original).unwrap();
    let written = to_bytes(&graph).unwrap();
    assert_eq!(written, to_bytes(&graph).unwrap());
    let again = from_bytes("written", &written).unwrap();
    assert_eq!(again.metadata, graph.metadata);
    let x = vec![random_image(&graph)];
    assert!(run(&graph, &x).unwrap() == run(&again, &x).unwrap(), "{file}");
    let Some(litert) = LiteRt::find() else { return };
    for kernels in [Kernels::Reference, Kernels::Default] {
        let theirs = litert.run(kernels, &original, &x).unwrap();
        let ours = litert.run(kernels, &written, &x).unwrap();
        // XNNPACK takes more of the operators of one file than of the other.
        let allowed = if matches!(kernels, Kernels::Reference) { 0 } else { 4 };
        let step = largest_step(&ours[0], &theirs[0]);
        assert!(step <= allowed, "{file}, {kernels:?}: {step}");
    }
}

#[test]
fn mobilenet_v1_is_written_as_it_was_read() {
    round_trip("mobilenet_v1_0.25_224_quant.tflite");
}

#[test]
fn mobilenet_v2_is_written_as_it_was_read() {
    round_trip("mobilenet_v2_1.0_224_quant.tflite");
}

/// Float networks of every kind of layer.
#[test]
fn float_networks_agree_with_litert() {
    let litert = LiteRt::find();
    for seed in 0..24 {
        let graph = random_graph(seed);
        let written = to_bytes(&graph).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let again = from_bytes("written", &written).unwrap_or_else(|e| panic!("{seed}: {e}"));
        let inputs = random_inputs(&graph, 2, seed);
        let own = run(&graph, &inputs).unwrap();
        for (a, b) in run(&again, &inputs).unwrap().iter().zip(&own) {
            assert_close(a, b, 1e-6, &format!("seed {seed}, read again"));
        }
        let Some(litert) = &litert else { continue };
        for kernels in [Kernels::Reference, Kernels::Default] {
            let theirs = litert.run(kernels, &written, &inputs).unwrap();
            for (a, b) in theirs.iter().zip(&own) {
                assert_close(a, b, 1e-5, &format!("seed {seed}, {kernels:?}"));
            }
        }
    }
}

/// Generated operators of every family: what is written is read as the same function, and LiteRT
/// agrees. What cannot be written names the node.
#[test]
fn generated_operators_agree_with_litert() {
    let (mut models, mut expected, mut refused) = (vec![], vec![], BTreeMap::new());
    let mut wrong = vec![];
    for family in Family::ALL {
        for seed in 0..120 {
            let case = family.case(seed);
            let graph = case.graph().unwrap();
            let inputs = case.tensors();
            let context = format!("{family:?} {seed}: {:?}", case.op);
            let bytes = match to_bytes(&graph) {
                Ok(bytes) => bytes,
                Err(e) => {
                    assert!(e.to_string().contains("'y'"), "{context}: {e}");
                    refused
                        .entry(case.op.name())
                        .or_insert_with(BTreeSet::new)
                        .insert(e.to_string());
                    continue;
                }
            };
            let own = run(&graph, &inputs).unwrap();
            match from_bytes("again", &bytes).and_then(|again| run(&again, &inputs)) {
                Ok(read) if read.iter().zip(&own).all(|(a, b)| agrees(a, b)) => {}
                Ok(_) => wrong.push(format!("{context}: another function as it is read again")),
                Err(e) => wrong.push(format!("{context}: {e}")),
            }
            models.push((bytes, inputs));
            expected.push((context, own));
        }
    }
    println!("{} written; refused: {refused:#?}", models.len());
    let litert = LiteRt::find();
    // The reference kernel of LocalResponseNorm leaves out a channel, others are the definition.
    let results = litert.map(|l| l.run_all(Kernels::Optimised, &models).unwrap());
    let differences =
        results.iter().flatten().zip(&expected).filter_map(|(theirs, (context, own))| {
            let theirs = match theirs {
                Ok(theirs) => theirs,
                Err(e) => return Some(format!("{context}: {e}")),
            };
            let same =
                theirs.len() == own.len() && theirs.iter().zip(own).all(|(a, b)| agrees(a, b));
            (!same).then(|| format!("{context}: differs"))
        });
    wrong.extend(differences);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), expected.len(), wrong.join("\n"));
}

/// Whether two tensors are the same: floats to 1e-5, 8-bit integers to a step, others exactly.
fn agrees(a: &Tensor, b: &Tensor) -> bool {
    if (a.shape(), a.dtype()) != (b.shape(), b.dtype()) {
        return false;
    }
    match a.dtype() {
        DType::F32 => relative_error(a, b) <= 1e-5,
        dtype => largest_step(a, b) <= i64::from(dtype.is_quantised()),
    }
}
