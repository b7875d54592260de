//! Synaptic flow (Tanaka et al. 2020, arXiv:2006.05467): with all weights positive, an image of ones,
//! and nothing but weights on the way, each weight's flow `|w dR/dw|` is the sum over all paths through
//! it of the products of weights, where R is the sum of the outputs. The score of a network is the sum
//! over weights of convolutions and products (Abdelfattah et al. 2021, arXiv:2101.08134, without
//! BatchNorm), of which this is the logarithm.

use edgecut_train::engine::Engine;
use edgecut_train::params::Kind;
use edgecut_train::plan::PlanOptions;

use super::Job;
use super::linearise::linearise;
use crate::Result;

/// Scales that are tried, as powers of two.
///
/// R grows like the product of fan-ins, beyond 1e50 for deep networks, and float32 ends at 3e38. The
/// network is linear, so an image (and biases) of 2^-s make activations smaller by 2^-s, and a gradient
/// of 2^-s at the output those of activations; a flow is the product of both. A flow of up to about
/// 2^(2 * 127) fits so.
const SCALES: [i32; 4] = [0, 40, 80, 115];

/// `ln(sum |w dR/dw|)`
pub(super) fn score(job: &Job) -> Result<f64> {
    let graph = linearise(&job.fresh()?).map_err(|problem| job.refuse(problem))?;
    let mut engine = job.engine(&graph, 1, &PlanOptions::default())?;
    engine.params_mut().values.iter_mut().for_each(|v| *v = v.abs());
    let mut scaled = 0;
    for scale in SCALES {
        scale_biases(&mut engine, scaled - scale);
        scaled = scale;
        let flow = flow(&mut engine, power_of_two(-scale));
        if flow == 0.0 {
            return Ok(f64::NEG_INFINITY);
        }
        if flow.is_finite() {
            let unscaled = f64::from(2 * scale) * std::f64::consts::LN_2;
            return Ok(libm::log(flow) + unscaled);
        }
    }
    Err(job.refuse("its flow is beyond what float32 holds, even scaled".into()))
}

/// The flow with an image of `unit` and a gradient of `unit` at the outputs; not finite where anything
/// on the way is not.
fn flow(engine: &mut Engine, unit: f32) -> f64 {
    let image = vec![unit; engine.plan().input().len()];
    engine.forward(&image, 1, true);
    engine.logits_gradient().fill(unit);
    engine.backward();
    let (params, gradients) = (engine.params(), engine.gradients());
    let mut sum = 0.0;
    for (_, kind, range) in params.names().filter(|(_, kind, _)| *kind != Kind::Statistic) {
        let pairs = params.values[range.clone()].iter().zip(&gradients[range]);
        let own: f64 = pairs.map(|(w, g)| (f64::from(*w) * f64::from(*g)).abs()).sum();
        // Biases are no weights, but where theirs is not finite the others are not right.
        sum += if kind == Kind::Weight || !own.is_finite() { own } else { 0.0 };
    }
    sum
}

fn scale_biases(engine: &mut Engine, exponent: i32) {
    let ranges: Vec<_> =
        engine.params().names().filter(|(_, kind, _)| *kind == Kind::Bias).collect();
    let ranges: Vec<_> = ranges.into_iter().map(|(_, _, range)| range).collect();
    let values = &mut engine.params_mut().values;
    for range in ranges {
        values[range].iter_mut().for_each(|v| *v *= power_of_two(exponent));
    }
}

/// `2^exponent`, exactly.
fn power_of_two(exponent: i32) -> f32 {
    libm::ldexpf(1.0, exponent)
}
