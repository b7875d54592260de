//! An attacker who sees what crosses a link, and draws the picture.
//!
//! A decoder learns, from pairs of what crosses and pictures, to make the one of the other by least
//! squares; on pairs that it has not seen its error says what an eavesdropper with such pairs gets
//! (He, Zhang and Lee 2019: inversion with knowledge of the data). A stronger decoder gets more: the
//! number is a lower bound of what leaks.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Builder, Conv, Graph, Op, Tensor, Window};
use edgecut_kernels::Isa;

use crate::config::pool;
use crate::engine::Engine;
use crate::error::{Result, TrainError};
use crate::optim::{Group, Optimizer, OptimizerState};
use crate::plan::{PlanOptions, TrainPlan};

/// Channels of the decoder.
const WIDTH: usize = 48;
/// Pairs of a step.
const BATCH: usize = 32;
/// The learning rate in the beginning; it falls to 0 along a line.
const RATE: f32 = 2e-3;
/// The part of all pairs that is not learned from.
const HELD_OUT: usize = 4;
/// Name of the value that is the picture.
const PICTURE: &str = "picture";
/// Keeps the generator of the order apart from others under the same seed.
const STREAM: u64 = 0x696e_7665_7274_0000;

/// How an attacker learns.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Steps.
    pub steps: u64,
    /// Of weights and order.
    pub seed: u64,
    /// As in [`RunOptions`](crate::RunOptions).
    pub threads: usize,
}

/// What an attacker gets.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Inversion {
    /// Peak signal to noise, in decibels, on pairs that were held out: the higher, the more of the
    /// picture leaks.
    pub psnr_db: f64,
    /// Of one who sees nothing and draws the mean picture.
    pub blind_db: f64,
}

/// Attacks `crossing`, what pictures became, with `pictures`, `[1, c, h, w]` from 0 to 1, both in the
/// same order. A quarter of the pairs is held out.
///
/// # Errors
/// Fewer than 8 pairs, tensors of several shapes, or pictures that are no power of two as large as
/// what crosses.
pub fn invert(crossing: &[Tensor], pictures: &[Tensor], attack: &Attack) -> Result<Inversion> {
    let fail = |problem: String| TrainError::Model { model: "inversion".into(), problem };
    let count = crossing.len();
    if count != pictures.len() || count < 8 {
        return Err(fail(format!("{count} and {} samples, needs 8 pairs", pictures.len())));
    }
    let (code, picture) = (extent(&crossing[0]), extent(&pictures[0]));
    let odd = |tensors: &[Tensor]| tensors.iter().any(|t| t.shape() != tensors[0].shape());
    if odd(crossing) || odd(pictures) {
        return Err(fail("tensors of several shapes".into()));
    }
    let graph = decoder(code, picture, attack.seed)?;
    let tap = graph.find_value(PICTURE).into_iter().collect();
    let options = PlanOptions { taps: tap, ..PlanOptions::default() };
    let plan = TrainPlan::with(&graph, BATCH.min(count), &options)?;
    let mut optimizer = OptimizerState::new(Optimizer::ADAMW, Group::of_tensors(plan.params()));
    let mut engine = Engine::new(plan, pool(attack.threads), Isa::detect());
    let (inputs, mut targets) = (standardised(crossing, code), rows(pictures, picture));
    let (learned, held) = (count - count / HELD_OUT, count / HELD_OUT);
    let mean: Vec<f32> = (0..targets[0].len())
        .map(|at| targets[..learned].iter().map(|t| t[at]).sum::<f32>() / learned as f32)
        .collect();
    // What is drawn is the difference to the mean picture.
    targets.iter_mut().for_each(|t| t.iter_mut().zip(&mean).for_each(|(t, m)| *t -= m));
    let mut order: Vec<usize> = (0..learned).collect();
    let mut rng = Rng::keyed(&[STREAM, attack.seed]);
    let batch = BATCH.min(learned);
    let mut next = learned;
    for step in 0..attack.steps {
        if next + batch > learned {
            rng.shuffle(&mut order);
            next = 0;
        }
        let picked = &order[next..next + batch];
        next += batch;
        let x: Vec<f32> = picked.iter().flat_map(|&i| inputs[i].iter().copied()).collect();
        engine.forward(&x, batch, true);
        let drawn = engine.tap(0).to_vec();
        let scale = 2.0 / drawn.len() as f32;
        let wanted = picked.iter().flat_map(|&i| targets[i].iter());
        let gradient: Vec<f32> = drawn.iter().zip(wanted).map(|(d, w)| scale * (d - w)).collect();
        engine.tap_gradient(0).copy_from_slice(&gradient);
        engine.logits_gradient().fill(0.0);
        engine.backward();
        let rate = RATE * (1.0 - step as f32 / attack.steps as f32);
        let (params, gradients, pool) = engine.update();
        optimizer.step(pool, &mut params.values, gradients, 0.0, rate, step);
    }
    let [mut error, mut blind] = [0f64; 2];
    for (input, target) in inputs[learned..].iter().zip(&targets[learned..]) {
        engine.forward(input, 1, false);
        for ((drawn, wanted), mean) in engine.tap(0).iter().zip(target).zip(&mean) {
            let drawn = (drawn + mean).clamp(0.0, 1.0) - mean;
            error += f64::from(drawn - wanted).powi(2);
            blind += f64::from(*wanted).powi(2);
        }
    }
    let decibels = |sum: f64| -10.0 * (sum / (held * mean.len()) as f64).max(1e-12).log10();
    Ok(Inversion { psnr_db: decibels(error), blind_db: decibels(blind) })
}

/// Channels, height and width: a tensor that is no image is one of 1 x 1.
fn extent(tensor: &Tensor) -> [usize; 3] {
    match *tensor.shape() {
        [1, c, h, w] => [c, h, w],
        _ => [tensor.len(), 1, 1],
    }
}

/// Convolutions and enlargements from one extent to the other.
fn decoder(code: [usize; 3], picture: [usize; 3], seed: u64) -> Result<Graph> {
    let [c, h, w] = code;
    let growth = picture[1] / h.max(1);
    if !growth.is_power_of_two() || [h, w].map(|side| side * growth) != picture[1..] {
        let problem = format!("{h}x{w} do not grow to {}x{} by doubling", picture[1], picture[2]);
        return Err(TrainError::Model { model: "inversion".into(), problem });
    }
    let mut b = Builder::new("inversion", seed);
    let mut x = b.input("crossing", ["n".into(), c.into(), h.into(), w.into()]);
    let doublings = growth.trailing_zeros();
    for step in 0..=doublings {
        if step > 0 {
            x = b.upsample_nearest(x, 2)?;
        }
        for half in ["a", "b"] {
            let name = format!("{step}.{half}");
            x = b.conv(x, &name, WIDTH, Window::same(3, 1), 1, false)?;
            x = b.batch_norm(x, &format!("{name}.norm"))?;
            x = b.relu(x)?;
        }
    }
    // Small weights: at first nothing but the mean picture is drawn.
    let weight = b.weight("last.weight", &[picture[0], WIDTH, 3, 3], 0.01)?;
    let x =
        b.node("last", Op::Conv(Conv { window: Window::same(3, 1), groups: 1 }), &[x, weight])?;
    b.rename(x, PICTURE);
    let mean = b.global_average_pool(x)?;
    let mean = b.flatten(mean)?;
    Ok(b.finish(&[mean])?)
}

/// Images with channels last, one after the other.
fn rows(tensors: &[Tensor], [c, h, w]: [usize; 3]) -> Vec<Vec<f32>> {
    let row = |tensor: &Tensor| {
        let values = tensor.to_f32();
        let at = |i: usize| values[i % c * h * w + i / c];
        (0..c * h * w).map(at).collect()
    };
    tensors.iter().map(row).collect()
}

/// The same with mean 0 and spread 1 in each channel, over all.
fn standardised(tensors: &[Tensor], extent: [usize; 3]) -> Vec<Vec<f32>> {
    let mut images = rows(tensors, extent);
    let [c, h, w] = extent;
    let count = (images.len() * h * w) as f64;
    for channel in 0..c {
        let values = || images.iter().flat_map(|image| image.iter().skip(channel).step_by(c));
        let mean = values().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = values().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / variance.sqrt().max(1e-6);
        for image in &mut images {
            let values = image.iter_mut().skip(channel).step_by(c);
            values.for_each(|v| *v = ((f64::from(*v) - mean) * scale) as f32);
        }
    }
    images
}
