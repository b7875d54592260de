//! Single operators of TensorFlow Lite files against LiteRT's reference kernels: read, and written
//! again.

use edgecut_graph::interpret::run;
use edgecut_graph::tflite::{from_bytes, to_bytes};
use edgecut_graph::{DType, Tensor};
use edgecut_testkit::{LiteRt, LiteRtCase, largest_step, relative_error};

/// What is wrong with `own`, if anything: floats to 1e-5, 8-bit integers to one step, other types
/// exactly.
fn difference(own: &Tensor, expected: &Tensor) -> Option<String> {
    if (own.shape(), own.dtype()) != (expected.shape(), expected.dtype()) {
        let (a, b) = (own.shape(), expected.shape());
        return Some(format!("{} {a:?} for {} {b:?}", own.dtype(), expected.dtype()));
    }
    let allowed = i64::from(own.dtype().is_quantised());
    match own.dtype() {
        DType::F32 => {
            let error = relative_error(own, expected);
            (error > 1e-5).then(|| format!("relative error {error}"))
        }
        _ => {
            let step = largest_step(own, expected);
            (step > allowed).then(|| format!("{step} steps"))
        }
    }
}

fn check(case: &LiteRtCase) -> Result<(), String> {
    let graph = from_bytes("case", &case.model).map_err(|e| e.to_string())?;
    let own = run(&graph, &case.inputs).map_err(|e| e.to_string())?;
    let wrong = own.iter().zip(&case.outputs).find_map(|(a, b)| difference(a, b));
    wrong.map_or(Ok(()), Err)?;
    let written = to_bytes(&graph).map_err(|e| format!("written: {e}"))?;
    let again = from_bytes("written", &written).map_err(|e| format!("again: {e}"))?;
    let read = run(&again, &case.inputs).map_err(|e| format!("again: {e}"))?;
    let same = read.iter().zip(&own).all(|(a, b)| {
        a.dtype() == b.dtype() && (a == b || a.dtype() == DType::F32 && relative_error(a, b) < 1e-6)
    });
    same.then_some(()).ok_or_else(|| "another function when written and read again".into())
}

fn check_all(kind: &str, count: usize) {
    let Some(litert) = LiteRt::find() else { return };
    let cases = litert.operators(kind).unwrap_or_else(|e| panic!("{e}"));
    let wrong = cases.iter().filter_map(|c| check(c).err().map(|e| format!("{}: {e}", c.name)));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(cases.len(), count);
}

#[test]
fn float_operators() {
    check_all("float", 177);
}

#[test]
fn integer_operators() {
    check_all("integer", 143);
}
