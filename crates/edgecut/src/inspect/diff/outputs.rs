//! How far apart two models compute.

use std::sync::Arc;

use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use serde::Serialize;

use super::weights::Apart;
use crate::errors::{Failure, Result};
use crate::work::interface::float_ports;
use crate::work::time::generated;

/// Sets of inputs that both models are run on.
const CASES: u64 = 4;
/// Seed of the inputs.
const SEED: u64 = 1;

/// Differences of outputs on the same generated inputs, over all sets of inputs.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// By output, in order: name, and how far apart.
    Compared(Vec<(String, Apart)>),
    /// Why the models cannot be given the same inputs, or their outputs not be compared.
    Differ(String),
}

/// Runs both with floats in and out, so that a quantised model can be compared with a float one.
pub fn compare(a: &Graph, b: &Graph) -> Result<Outputs> {
    let floats = float_ports(a).and_then(|(a, _)| Ok((a, float_ports(b)?.0)));
    let (a, b) = match floats {
        Ok(pair) => pair,
        Err(failure) => return Ok(Outputs::Differ(failure.message)),
    };
    if let Some(why) = unlike(&a, &b) {
        return Ok(Outputs::Differ(why));
    }
    let pool = Arc::new(Pool::new(crate::host::cores()));
    let session = |graph: &Graph| -> Result<Session> {
        Ok(Session::new(Arc::new(compile(graph, &CompileOptions::default())?), pool.clone()))
    };
    let (mut first, mut second) = (session(&a)?, session(&b)?);
    let (mut here, mut there): (Vec<Vec<f32>>, Vec<Vec<f32>>) = Default::default();
    for case in 0..CASES {
        let mut rng = Rng::keyed(&[SEED, case]);
        let inputs: Vec<Tensor> = a
            .inputs
            .iter()
            .map(|&id| {
                let value = a.value(id);
                generated(value.dtype, &value.shape.with_symbols(1), &mut rng)
            })
            .collect::<Result<_>>()?;
        collect(&mut here, first.infer(&inputs).map_err(Failure::from)?);
        collect(&mut there, second.infer(&inputs).map_err(Failure::from)?);
    }
    let names = a.outputs.iter().map(|&id| a.value(id).name.clone());
    let apart = here.iter().zip(&there).map(|(x, y)| Apart::of(x, y));
    Ok(Outputs::Compared(names.zip(apart).collect()))
}

fn collect(all: &mut Vec<Vec<f32>>, outputs: Vec<Tensor>) {
    all.resize_with(outputs.len(), Vec::new);
    all.iter_mut().zip(outputs).for_each(|(all, output)| all.extend(output.to_f32()));
}

/// Why `a` and `b` cannot be compared; names do not matter, and a batch that only one fixes to 1
/// does not either.
fn unlike(a: &Graph, b: &Graph) -> Option<String> {
    for (what, x, y) in [("input", &a.inputs, &b.inputs), ("output", &a.outputs, &b.outputs)] {
        if x.len() != y.len() {
            return Some(format!("{} {what}s and {}", x.len(), y.len()));
        }
        for (&x, &y) in x.iter().zip(y) {
            let (x, y) = (a.value(x), b.value(y));
            if x.dtype != y.dtype || x.shape.with_symbols(1) != y.shape.with_symbols(1) {
                return Some(format!(
                    "{what} '{}' is {} {}, '{}' is {} {}",
                    x.name, x.dtype, x.shape, y.name, y.dtype, y.shape
                ));
            }
        }
    }
    None
}
