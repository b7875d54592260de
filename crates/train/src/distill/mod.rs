//! Knowledge distillation: a network learns from what trained ones make of the same pictures.
//!
//! | module | holds |
//! | --- | --- |
//! | `answers` | losses of logits: Hinton's, decoupled |
//! | `features` | losses of inner values: the same, hints, attention, relations |
//! | `rate` | what inner values would take to be sent |
//! | `teacher` | networks that run, float or int8, on the student's input |
//! | `cache` | what teachers have answered, on disk |
//! | `pairs` | which inner values belong together |
//! | `guide` | all of it as a part of a training step |
//!
//! Teacher and student see the same picture, varied in the same way (Beyer et al. 2022,
//! arXiv:2106.05237). With [`Distillation::views`] variations repeat after so many epochs, so that
//! answers can be kept.

mod answers;
mod cache;
mod features;
mod guide;
mod pairs;
mod rate;
mod teacher;

use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};

pub use guide::{Guide, label};
pub use pairs::pairs;
pub use teacher::TeacherModel;

/// What a student learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distillation {
    /// Weight of the loss against the labels; 0 where there are none.
    pub labels: f32,
    /// Weight of the loss against the teachers' answers.
    pub answers: f32,
    /// Which loss that is.
    pub loss: AnswerLoss,
    /// Inner values that the student's are compared with.
    pub features: Vec<FeatureMatch>,
    /// Values of the student that are to take few bits.
    #[serde(default)]
    pub rates: Vec<RateTerm>,
    /// Variations of each picture; 0 makes a new one for each epoch.
    pub views: u64,
}

/// A loss of logits `s` against a teacher's `t`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnswerLoss {
    /// `T^2 KL(softmax(t / T) || softmax(s / T))` (Hinton et al. 2015, arXiv:1503.02531).
    Soft {
        /// T.
        temperature: f32,
    },
    /// The same in two parts with weights of their own: right class against the rest, and the rest
    /// among themselves (Zhao et al. 2022, arXiv:2203.08679).
    Decoupled {
        /// T.
        temperature: f32,
        /// Weight of the first part.
        target: f32,
        /// Weight of the second part.
        others: f32,
    },
}

/// A price on a value that is rounded to whole numbers and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateTerm {
    /// Name of the value in the student's graph, before it is rounded.
    pub value: String,
    /// The loss of each bit of an image.
    pub weight: f32,
}

/// A loss of inner values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureLoss {
    /// Squared distance of values of one shape, over the teacher's squared length.
    Same,
    /// Squared distance after a learned 1x1 convolution, over the teacher's squared length (Romero et
    /// al. 2015, arXiv:1412.6550).
    Hint,
    /// Squared distance of the maps of squared sums over channels, each of length 1 (Zagoruyko and
    /// Komodakis 2017, arXiv:1612.03928).
    Attention,
    /// Distances and angles between the pictures of a batch (Park et al. 2019, arXiv:1904.05068).
    Relation,
}

/// One value of the student and one of the teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureMatch {
    /// The loss.
    pub loss: FeatureLoss,
    /// Its weight.
    pub weight: f32,
    /// Name of the value in the student's graph.
    pub student: String,
    /// Name of the value in the first teacher's graph.
    pub teacher: String,
}

impl Distillation {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that is out of range, and the range.
    pub fn validate(&self) -> Result<()> {
        let fail = |field, problem: String| Err(TrainError::config(field, problem));
        let weight = |w: f32| (0.0..=1e6).contains(&w);
        if !weight(self.labels) || !weight(self.answers) {
            let (labels, answers) = (self.labels, self.answers);
            return fail("distill weights", format!("{labels}, {answers}; must be from 0"));
        }
        if self.labels + self.answers == 0.0 && self.features.is_empty() {
            return fail("distill weights", "all are 0: nothing would be learned".into());
        }
        let (AnswerLoss::Soft { temperature } | AnswerLoss::Decoupled { temperature, .. }) =
            self.loss;
        if !(0.1..=100.0).contains(&temperature) {
            return fail("temperature", format!("{temperature}; must be 0.1 to 100"));
        }
        if let AnswerLoss::Decoupled { target, others, .. } = self.loss
            && !(weight(target) && weight(others))
        {
            return fail("decoupled", format!("{target}, {others}; must be from 0"));
        }
        if let Some(wrong) = self.rates.iter().find(|term| !weight(term.weight)) {
            return fail("rates", format!("weight {}; must be from 0", wrong.weight));
        }
        if let Some(wrong) = self.features.iter().find(|m| !weight(m.weight)) {
            return fail("features", format!("weight {}; must be from 0", wrong.weight));
        }
        Ok(())
    }
}

/// `sum(a b)` in eight interleaved sums, added in order: fast, and the same everywhere.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a8.iter().zip(b8) {
        (0..8).for_each(|i| sums[i] += a[i] * b[i]);
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// For tests of gradients: compares `gradient(x)` with central differences of `loss(x)`.
#[cfg(test)]
fn check_gradient(x: &[f32], loss: impl Fn(&[f32]) -> f64, gradient: &[f32]) {
    assert_eq!(x.len(), gradient.len());
    let largest = gradient.iter().fold(0.0f32, |a, g| a.max(g.abs()));
    assert!(largest > 0.0, "the gradient is 0");
    for i in 0..x.len() {
        let moved = |step: f32| {
            let mut x = x.to_vec();
            x[i] += step;
            loss(&x)
        };
        let step = 1e-2;
        let expected = (moved(step) - moved(-step)) / f64::from(2.0 * step);
        let error = (f64::from(gradient[i]) - expected).abs();
        assert!(
            error < 3e-3 * f64::from(largest) + 1e-5,
            "element {i}: {}, not {expected}",
            gradient[i]
        );
    }
}
