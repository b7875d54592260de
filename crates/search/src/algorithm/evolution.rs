//! Regularised evolution.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::nsga2::preference;
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::Result;

/// Regularised (ageing) evolution (Real et al. 2019): of the youngest nets a few are drawn, and the
/// best of them gets a child with one gene changed. A net that was evaluated before is not again.
///
/// With several objectives the best is whom fewer fronts dominate, and then the loneliest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evolution {
    /// How many of the youngest nets are alive.
    pub population: usize,
    /// How many of them are drawn for each child.
    pub sample: usize,
    /// Children at a time.
    pub batch: usize,
}

impl Default for Evolution {
    fn default() -> Evolution {
        Evolution { population: 20, sample: 5, batch: 1 }
    }
}

impl Algorithm for Evolution {
    fn name(&self) -> &'static str {
        "evolution"
    }

    fn settings(&self) -> serde_json::Value {
        settings_of(self)
    }

    fn propose(&self, context: &Context) -> Result<Batch> {
        let mut draft = Draft::new(context);
        let known = context.next_trial();
        if known < self.population {
            draft.fill(self.population - known);
            return Ok(draft.finish());
        }
        let alive: Vec<usize> = (known - self.population..known).collect();
        let standings = context.history.standings(context.problem);
        let best_first = preference(&standings, &alive);
        for _ in 0..self.batch {
            let mut rng = context.rng(draft.next_trial());
            let child = |rng: &mut Rng| {
                let places = (0..self.sample.max(1)).map(|_| rng.below(best_first.len()));
                let parent = best_first[places.min().unwrap_or(0)];
                let genome = context.history.genome(parent);
                (context.problem.space().mutate(genome, rng), vec![parent])
            };
            draft.offer_child(&mut rng, child);
        }
        Ok(draft.finish())
    }
}
