//! How far two graphs of the same inputs and outputs differ, measured by running both.

use crate::interpret::run;
use crate::rng::Rng;
use crate::{DType, Graph, GraphError, Result, Tensor, Value};

/// The largest differences that [`check`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Largest absolute difference of any element of any output. Infinite where shapes differ or
    /// only one of two elements is a number.
    pub max_abs: f64,
    /// Largest difference relative to the largest magnitude of that output in the first graph.
    pub max_rel: f64,
}

impl Difference {
    fn join(self, other: Difference) -> Difference {
        Difference {
            max_abs: self.max_abs.max(other.max_abs),
            max_rel: self.max_rel.max(other.max_rel),
        }
    }
}

/// Runs both graphs in the reference interpreter on `cases` sets of generated inputs, with every
/// symbolic extent 1 and, in case there is one, 2. Inputs are functions of `seed`: float32 is
/// standard normal, 8-bit integers take any value, wider integers 0 to 3 (they are positions or
/// sizes more often than not), booleans either.
///
/// # Errors
/// Where inputs or outputs of the graphs do not match in number, type or shape, or where running
/// one fails.
pub fn check(before: &Graph, after: &Graph, seed: u64, cases: usize) -> Result<Difference> {
    check_ports(before, after)?;
    let shapes = || before.inputs.iter().map(|&id| &before.value(id).shape);
    let batches: &[usize] = if shapes().any(|s| s.to_fixed().is_none()) { &[1, 2] } else { &[1] };
    let mut largest = Difference::default();
    for case in 0..cases {
        for &batch in batches {
            let inputs = inputs(before, batch, Rng::keyed(&[seed, case as u64]).next_u64())?;
            let (expected, got) = (run(before, &inputs)?, run(after, &inputs)?);
            for (expected, got) in expected.iter().zip(&got) {
                largest = largest.join(difference(expected, got));
            }
        }
    }
    Ok(largest)
}

fn check_ports(before: &Graph, after: &Graph) -> Result<()> {
    for (what, a, b) in
        [("input", &before.inputs, &after.inputs), ("output", &before.outputs, &after.outputs)]
    {
        let mismatch = |problem: String| {
            Err(GraphError::Shape { place: format!("graph '{}'", before.name), problem })
        };
        if a.len() != b.len() {
            return mismatch(format!("{} {what}s here, {} there", a.len(), b.len()));
        }
        for (&a, &b) in a.iter().zip(b) {
            let (a, b) = (before.value(a), after.value(b));
            if (a.dtype, &a.shape) != (b.dtype, &b.shape) {
                return mismatch(format!(
                    "{what} '{}' is {} {} here, '{}' {} {} there",
                    a.name, a.dtype, a.shape, b.name, b.dtype, b.shape
                ));
            }
        }
    }
    Ok(())
}

fn inputs(graph: &Graph, batch: usize, seed: u64) -> Result<Vec<Tensor>> {
    let values = graph.inputs.iter().enumerate();
    values
        .map(|(i, &id)| input(graph.value(id), batch, &mut Rng::keyed(&[seed, i as u64])))
        .collect()
}

fn input(value: &Value, batch: usize, rng: &mut Rng) -> Result<Tensor> {
    let shape = value.shape.with_symbols(batch);
    let len = value.shape.len_with(batch, &value.name)?;
    let each = 0..len;
    match value.dtype {
        DType::F32 => Tensor::new(shape, each.map(|_| rng.normal()).collect::<Vec<_>>()),
        DType::U8 => Tensor::new(shape, each.map(|_| rng.below(256) as u8).collect::<Vec<_>>()),
        DType::I8 => {
            Tensor::new(shape, each.map(|_| rng.below(256) as u8 as i8).collect::<Vec<_>>())
        }
        DType::I32 => Tensor::new(shape, each.map(|_| rng.below(4) as i32).collect::<Vec<_>>()),
        DType::I64 => Tensor::new(shape, each.map(|_| rng.below(4) as i64).collect::<Vec<_>>()),
        DType::Bool => Tensor::new(shape, each.map(|_| rng.below(2) == 1).collect::<Vec<_>>()),
    }
}

fn difference(expected: &Tensor, got: &Tensor) -> Difference {
    if expected.shape() != got.shape() || expected.dtype() != got.dtype() {
        return Difference { max_abs: f64::INFINITY, max_rel: f64::INFINITY };
    }
    let (mut max_abs, mut magnitude) = (0f64, 0f64);
    for (x, y) in expected.to_f32().into_iter().zip(got.to_f32()) {
        let (x, y) = (f64::from(x), f64::from(y));
        if x.is_finite() {
            magnitude = magnitude.max(x.abs());
        }
        // Equal infinities and two NaNs agree.
        if x == y || (x.is_nan() && y.is_nan()) {
            continue;
        }
        let distance = (x - y).abs();
        max_abs = if distance.is_nan() { f64::INFINITY } else { max_abs.max(distance) };
    }
    let max_rel = if max_abs == 0.0 { 0.0 } else { max_abs / magnitude };
    Difference { max_abs, max_rel }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Op, Shape, Unary};

    fn one(op: Op) -> Graph {
        let mut graph = Graph::new("one");
        let x = graph.add_input("x", DType::F32, Shape::new(vec!["n".into(), 50.into()]));
        let y = graph.add_node("y", op, &[Some(x)]).unwrap();
        graph.outputs = vec![y];
        graph
    }

    #[test]
    fn differences_are_found_and_measured() {
        let clip = |max| one(Op::Unary(Unary::Clip { min: 0.0, max }));
        let same = check(&one(Op::RELU), &one(Op::RELU), 1, 2).unwrap();
        assert_eq!(same, Difference::default());
        let d = check(&clip(1.0), &clip(0.5), 1, 2).unwrap();
        assert_eq!((d.max_abs, d.max_rel), (0.5, 0.5));
    }

    #[test]
    fn graphs_that_cannot_be_compared_are_refused() {
        let mut other = one(Op::RELU);
        other.outputs.clear();
        assert!(check(&one(Op::RELU), &other, 1, 1).is_err());
    }

    #[test]
    fn nan_against_a_number_is_infinitely_far() {
        let vector = |v: f32| Tensor::vector(vec![v]);
        assert_eq!(difference(&vector(1.0), &vector(f32::NAN)).max_abs, f64::INFINITY);
        assert_eq!(difference(&vector(f32::NAN), &vector(f32::NAN)).max_abs, 0.0);
        assert_eq!(difference(&vector(f32::INFINITY), &vector(f32::INFINITY)).max_abs, 0.0);
    }
}
