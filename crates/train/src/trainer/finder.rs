//! Search for a learning rate (Smith 2017, arXiv:1506.01186): a short training whose rate grows from
//! step to step until the loss explodes.

use std::sync::Arc;

use edgecut_graph::Graph;
use serde::Serialize;

use super::Trainer;
use crate::config::{RunOptions, TrainConfig};
use crate::data::{Dataset, Loader, Preprocess};
use crate::error::{Result, TrainError};
use crate::qat::Unfolded;

/// First and last rate.
const RANGE: [f64; 2] = [1e-6, 10.0];
/// Share of the smoothed loss that each step keeps.
const SMOOTHING: f64 = 0.9;
/// The search ends where the smoothed loss is so many times its minimum.
const EXPLODED: f64 = 4.0;

/// The loss at one rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RatePoint {
    /// Learning rate of the step.
    pub lr: f32,
    /// Loss of its batch before it.
    pub loss: f64,
    /// Moving average of the losses so far.
    pub smoothed: f64,
}

/// What a search has found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RateCurve {
    /// All steps.
    pub points: Vec<RatePoint>,
    /// The rate where the smoothed loss falls fastest on the way to its minimum: as high as is safe.
    /// `None` where it never falls.
    pub suggested: Option<f32>,
}

/// Trains a copy of `graph` for up to `steps` steps at rates from 1e-6 to 10, evenly in the logarithm.
/// Of `config`, epochs, rate, schedule and patience play no part. `observer` sees each point and says
/// whether to go on.
///
/// # Errors
/// Those of [`fit`](super::fit), but that a loss which is no longer a number ends the search.
pub fn find_rate(
    graph: &Graph,
    train: Arc<dyn Dataset>,
    preprocess: &Preprocess,
    config: &TrainConfig,
    options: &RunOptions,
    steps: usize,
    observer: &mut dyn FnMut(&RatePoint) -> bool,
) -> Result<RateCurve> {
    let config = TrainConfig { patience: None, ema_decay: None, ..config.clone() };
    config.validate()?;
    let options = RunOptions { checkpoint: None, ..options.clone() };
    let unfolded = Unfolded::of(graph)?;
    let begin = unfolded.as_ref().map_or(graph, |unfolded| &unfolded.graph);
    let integers = unfolded.as_ref();
    let mut trainer =
        Trainer::new(begin, integers, train, None, preprocess, &config, &options, None)?;
    let mut loader = Loader::new(trainer.train.clone(), preprocess, &trainer.loader_options())?;
    let mut points: Vec<RatePoint> = vec![];
    let [low, high] = RANGE.map(libm::log);
    let (mut average, mut weight, mut least) = (0.0, 0.0, f64::INFINITY);
    for step in 0..steps {
        let Some(batch) = loader.next_batch()? else { break };
        let done = step as f64 / (steps - 1).max(1) as f64;
        let lr = libm::exp(low + (high - low) * done) as f32;
        let before = trainer.state.loss_sum;
        match trainer.step(batch, lr) {
            Err(TrainError::Diverged { .. }) => break,
            other => other?,
        }
        let loss = (trainer.state.loss_sum - before) / batch.n as f64;
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss;
        weight = SMOOTHING * weight + (1.0 - SMOOTHING);
        let point = RatePoint { lr, loss, smoothed: average / weight };
        points.push(point);
        least = least.min(point.smoothed);
        if !observer(&point) || point.smoothed > EXPLODED * least {
            break;
        }
    }
    let suggested = steepest(&points);
    Ok(RateCurve { points, suggested })
}

/// The rate in the middle of the five steps over which the smoothed loss falls most.
fn steepest(points: &[RatePoint]) -> Option<f32> {
    let least =
        (0..points.len()).min_by(|&a, &b| points[a].smoothed.total_cmp(&points[b].smoothed))?;
    let fall = |w: &&[RatePoint]| w[0].smoothed - w[4].smoothed;
    let windows = points[..=least].windows(5).filter(|w| fall(w) > 0.0);
    windows.max_by(|a, b| fall(a).total_cmp(&fall(b))).map(|w| w[2].lr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steepest_part_is_suggested() {
        let losses = [2.3, 2.3, 2.29, 2.2, 1.9, 1.5, 1.4, 1.38, 1.37, 5.0, 1.0];
        let point = |(i, &smoothed): (usize, &f64)| RatePoint {
            lr: 10f32.powi(i as i32 - 8),
            loss: smoothed,
            smoothed,
        };
        let points: Vec<RatePoint> = losses[..10].iter().enumerate().map(point).collect();
        assert_eq!(steepest(&points), Some(points[4].lr));
        assert_eq!(steepest(&points[..1]), None);
        assert_eq!(steepest(&[]), None);
    }
}
