//! What a network loses with parts of each of its groups of channels, one group at a time (Li et al.
//! 2017, arXiv:1608.08710, section 3.2).

use std::sync::Arc;

use edgecut_compress::Images;
use edgecut_compress::prune::{Bounds, Channels, Order, Ranking};
use edgecut_graph::{Graph, Tensor};
use edgecut_kernels::Pool;
use edgecut_runtime::{CompileOptions, Session, compile};
use edgecut_train::metrics::argmax;
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::interrupt;
use crate::progress::Counter;
use crate::work::calibrate::Sample;
use crate::work::classify::probability;
use crate::work::model;

/// Shares of a group that are tried.
pub const SHARES: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// Most pictures in one run.
const BATCH: usize = 16;

/// Least probability that counts, so that one picture cannot make the mean loss infinite.
const LEAST: f32 = 1e-9;

/// What a network achieves on the pictures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Achieved {
    /// Right answers, percent.
    pub accuracy: f64,
    /// Mean cross entropy.
    pub loss: f64,
}

/// A group without some of its channels.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Channels that are gone, those of least importance first.
    pub removed: usize,
    #[serde(flatten)]
    pub achieved: Achieved,
}

/// A group, one point for each of [`SHARES`].
#[derive(Clone, Debug, Serialize)]
pub struct GroupSensitivity {
    /// Name of the first layer that makes its channels.
    pub group: String,
    /// How many.
    pub channels: usize,
    pub points: Vec<Point>,
}

/// All groups.
#[derive(Clone, Debug, Serialize)]
pub struct Sensitivity {
    /// Training pictures that it was measured on.
    pub pictures: usize,
    /// The whole network.
    pub before: Achieved,
    pub groups: Vec<GroupSensitivity>,
}

impl Sensitivity {
    /// Measures every group, whose channels go in the order of `scores`.
    ///
    /// # Errors
    /// Also Ctrl-C.
    pub fn measure(
        global: &Global,
        channels: &Channels,
        scores: &[Vec<f64>],
        sample: &Sample,
        pool: &Arc<Pool>,
    ) -> Result<Sensitivity> {
        interrupt::listen();
        let order = Order::new(channels, scores, Ranking::Layer);
        let judge = Judge::of(sample)?;
        let before = judge.judge(channels.graph(), pool)?;
        let total = channels.groups.len() * SHARES.len();
        let mut bar = Counter::new(global, "sensitivity", total as u64);
        let bounds = Bounds { max_ratio: 1.0, ..Bounds::default() };
        let mut groups = vec![];
        for (at, group) in channels.groups.iter().enumerate() {
            let mut points = vec![];
            for share in SHARES {
                if interrupt::asked() {
                    return Err(Failure::not_met("interrupted"));
                }
                let mut wanted = vec![0; channels.groups.len()];
                wanted[at] = (share * group.channels.len() as f64).round() as usize;
                let plan = order.plan_of(channels, &wanted, &bounds);
                let achieved = judge.judge(&channels.apply(&plan)?, pool)?;
                points.push(Point { removed: plan.len(), achieved });
                let done = at * SHARES.len() + points.len();
                bar.set(done as u64, || format!("{} · loss {:.3}", group.name, achieved.loss));
            }
            let (name, count) = (group.name.clone(), group.channels.len());
            groups.push(GroupSensitivity { group: name, channels: count, points });
        }
        Ok(Sensitivity { pictures: judge.labels.len(), before, groups })
    }

    /// Scores that all channels of the network can be compared by: the rise of the loss once a
    /// channel and those of its group with less of `scores` are gone. So every group loses as much as
    /// costs the same.
    pub fn scores(&self, scores: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let of = |(group, scores): (&GroupSensitivity, &Vec<f64>)| {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            let curve = self.curve(group);
            let mut rises = vec![0.0; scores.len()];
            for (place, channel) in order.into_iter().enumerate() {
                rises[channel] = interpolate(&curve, (place + 1) as f64);
            }
            rises
        };
        self.groups.iter().zip(scores).map(of).collect()
    }

    /// Channels gone and the rise of the loss, both rising: what is measured on a few pictures may
    /// fall by chance.
    fn curve(&self, group: &GroupSensitivity) -> Vec<(f64, f64)> {
        let mut curve = vec![(0.0, 0.0)];
        for point in &group.points {
            let (removed, rise) = curve[curve.len() - 1];
            // Where nothing is lost, groups are to lose the same share.
            let least = rise + 1e-9 * (point.removed as f64 - removed) / group.channels as f64;
            if point.removed as f64 > removed {
                let now = point.achieved.loss - self.before.loss;
                curve.push((point.removed as f64, now.max(least)));
            }
        }
        curve
    }
}

/// The curve at `x`; beyond its end as steep as its last part.
fn interpolate(curve: &[(f64, f64)], x: f64) -> f64 {
    let Some(end) = curve.len().checked_sub(1).filter(|&end| end > 0) else { return f64::MAX };
    let next = curve.iter().position(|&(at, _)| at >= x).unwrap_or(end).max(1);
    let ((x0, y0), (x1, y1)) = (curve[next - 1], curve[next]);
    y0 + (y1 - y0) * (x - x0) / (x1 - x0)
}

/// Pictures as the network's input, and their classes.
pub struct Judge {
    images: Vec<Tensor>,
    labels: Vec<u32>,
}

impl Judge {
    pub fn of(sample: &Sample) -> Result<Judge> {
        let all = 0..sample.len();
        let images =
            all.clone().map(|i| sample.read(i)).collect::<edgecut_compress::Result<_>>()?;
        Ok(Judge { images, labels: all.filter_map(|i| sample.label(i)).collect() })
    }

    /// What `graph` makes of them.
    pub fn judge(&self, graph: &Graph, pool: &Arc<Pool>) -> Result<Achieved> {
        let fixed = graph.inputs.first().map(|&id| graph.value(id).shape.dims());
        let fixed = fixed.and_then(|dims| dims.first()?.fixed());
        let batch = fixed.unwrap_or(BATCH).max(1);
        let plan = compile(graph, &CompileOptions { batch, ..CompileOptions::default() })?;
        let mut session = Session::new(Arc::new(plan), pool.clone());
        let (softmax, classes) = (model::ends_in_softmax(graph), model::class_count(graph)?);
        let (mut hits, mut loss) = (0, 0.0);
        for (images, labels) in self.images.chunks(batch).zip(self.labels.chunks(batch)) {
            for (number, image) in images.iter().enumerate() {
                let values = image.f32s()?;
                let input = session.input_mut(0)?;
                input[number * values.len()..][..values.len()].copy_from_slice(values);
            }
            session.run()?;
            for (row, &label) in session.output_f32(0)?.chunks_exact(classes).zip(labels) {
                hits += usize::from(argmax(row) == label as usize);
                let right = probability(row, label as usize, softmax);
                loss -= f64::from(right.max(LEAST)).ln();
            }
        }
        let count = self.labels.len().max(1) as f64;
        Ok(Achieved { accuracy: 100.0 * hits as f64 / count, loss: loss / count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_lose_as_much_as_costs_the_same() {
        let point = |removed, loss| Point { removed, achieved: Achieved { accuracy: 0.0, loss } };
        let group = |points| GroupSensitivity { group: String::new(), channels: 10, points };
        let sensitivity = Sensitivity {
            pictures: 1,
            before: Achieved { accuracy: 0.0, loss: 1.0 },
            // The second rises four times as fast, and falls by chance.
            groups: vec![
                group(vec![point(5, 1.5), point(9, 2.0)]),
                group(vec![point(5, 3.0), point(9, 2.9)]),
            ],
        };
        let scores = vec![(0..10).rev().map(f64::from).collect::<Vec<_>>(); 2];
        let rises = sensitivity.scores(&scores);
        // The last channel goes first.
        assert!((rises[0][9] - 0.1).abs() < 1e-9 && (rises[1][9] - 0.4).abs() < 1e-9);
        for rises in &rises {
            assert!(rises.windows(2).all(|pair| pair[0] > pair[1]), "{rises:?}");
        }
        assert!((rises[0][0] - 1.125).abs() < 1e-9, "{rises:?}");
    }
}
