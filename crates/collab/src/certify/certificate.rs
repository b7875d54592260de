//! What was certified, as a file that the device loads.

use serde::{Deserialize, Serialize};

use super::{Goal, Score};
use crate::drift::Audit;
use crate::{CollabError, Result, hex};

/// Version of the form.
pub const VERSION: u32 = 1;

/// Exits of a certificate at most.
const MAX_EXITS: usize = 64;

/// Bytes of a certificate at most.
const MAX_BYTES: usize = 1 << 16;

/// A cascade's thresholds, and what they guarantee for which models.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// [`VERSION`].
    pub version: u32,
    /// [`digest`](crate::digest()) of the edge's model in hexadecimal.
    pub edge: String,
    /// The same of the full model.
    pub cloud: String,
    /// How confidence is computed from an exit's output.
    pub score: Score,
    /// Whether the exits' outputs are probabilities; else they are logits.
    pub distribution: bool,
    /// Whether both models make the same input of a picture, so that either takes the other's.
    #[serde(default)]
    pub same_input: bool,
    /// The least confidence of each exit that answers, in the order of the model's outputs; empty where
    /// nothing could be certified and the full model answers everything.
    pub thresholds: Vec<f64>,
    /// What is guaranteed.
    #[serde(flatten)]
    pub goal: Goal,
    /// Samples that certified it.
    pub samples: usize,
    /// The risk that was measured on them.
    pub measured: f64,
    /// Share of them that the full model is not asked for.
    pub saved: f64,
    /// How requests are audited.
    pub audit: Audit,
}

impl Certificate {
    /// The exit that answers, by the outputs of all; none where the full model must.
    pub fn exit(&self, outputs: &[&[f32]]) -> Option<usize> {
        let sure = |(output, threshold): (&&[f32], &f64)| {
            self.score.of(output, self.distribution) >= *threshold
        };
        outputs.iter().zip(&self.thresholds).position(sure)
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        // Numbers, names and lists have a form in JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// From JSON.
    ///
    /// # Errors
    /// Where it is none of this version, or a number is out of range.
    pub fn from_json(bytes: &[u8]) -> Result<Certificate> {
        let wrong = |problem: String| CollabError::Certify(format!("certificate: {problem}"));
        if bytes.len() > MAX_BYTES {
            return Err(wrong(format!("{} bytes, at most {MAX_BYTES}", bytes.len())));
        }
        let found: Certificate = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        if found.version != VERSION {
            let version = found.version;
            return Err(wrong(format!("version {version}, this program reads {VERSION}")));
        }
        if found.thresholds.len() > MAX_EXITS {
            return Err(wrong(format!("{} thresholds", found.thresholds.len())));
        }
        // What is no number has no form in JSON, but a threshold below 0 would let anything pass.
        if let Some(t) = found.thresholds.iter().find(|t| !(0.0..=1.0).contains(*t)) {
            return Err(wrong(format!("a threshold of {t}, must be 0 to 1")));
        }
        for (name, digest) in [("edge", &found.edge), ("cloud", &found.cloud)] {
            if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(wrong(format!("'{name}' is no SHA-256 in hexadecimal")));
            }
        }
        found.goal.check()?;
        found.audit.check()?;
        Ok(found)
    }

    /// Whether it is for these models, by their [`digest`](crate::digest())s.
    ///
    /// # Errors
    /// Says which model is another.
    pub fn check_models(&self, edge: &[u8; 32], cloud: Option<&[u8; 32]>) -> Result<()> {
        let other = |name: &str, stated: &str| {
            Err(CollabError::Certify(format!(
                "the certificate is for another {name} model ({}...): certify this one",
                &stated[..12.min(stated.len())]
            )))
        };
        if hex(edge) != self.edge {
            return other("edge", &self.edge);
        }
        match cloud {
            Some(cloud) if hex(cloud) != self.cloud => other("cloud", &self.cloud),
            _ => Ok(()),
        }
    }
}
