//! Random search.

use serde::{Deserialize, Serialize};

use super::draft::Draft;
use super::{Algorithm, Batch, Context, settings_of};
use crate::error::Result;

/// Random search: new nets that keep the limits, each drawn by [`crate::Space::sample`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Random {
    /// Nets at a time.
    pub batch: usize,
}

impl Default for Random {
    fn default() -> Random {
        Random { batch: 16 }
    }
}

impl Algorithm for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn settings(&self) -> serde_json::Value {
        settings_of(self)
    }

    fn propose(&self, context: &Context) -> Result<Batch> {
        let mut draft = Draft::new(context);
        draft.fill(self.batch);
        Ok(draft.finish())
    }
}
