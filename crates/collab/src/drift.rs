//! Whether what was certified still holds, while requests are served.
//!
//! A share of all requests is picked by their ids, before anything is known of them. A picked one that
//! the edge answers goes to the cloud as well; one that is escalated needs nothing more, since there the
//! cascade answers as the full model does. So the losses of picked requests (1 where the answers
//! differ, else 0) are a fair sample of the cascade's disagreement with the full model, whatever became
//! of the confidences, and [`Drift`] bets that their mean is above the limit. While it is not, the
//! wealth exceeds 1/alpha at any time, ever, with a probability of at most alpha (Ville 1939): as long as
//! nothing changes, the alarm may never come in vain, however long one waits and however often one
//! looks.
//!
//! Bets on a change must not have been lost before it came: so some of the wealth is kept back, and at
//! each request t 1/(t (t + 1)) of it is put to bets that begin there. Their sum is a supermartingale
//! like each of them (the mixture of Shin, Ramdas and Rinaldo, arXiv:2203.03532, with weights that sum
//! to one), and a change is found as soon as if the bets had begun with it, but for the logarithm of
//! its time.

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{CollabError, Result};

/// How requests are audited.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Share of requests that are picked, 0 to 1.
    pub share: f64,
    /// Picks others where it differs.
    pub seed: u64,
    /// Disagreement with the full model up to which there is no alarm, above 0 and below 1.
    pub limit: f64,
    /// Probability of an alarm as long as the disagreement stays within the limit.
    pub alpha: f64,
}

impl Audit {
    /// Whether the request of this id is picked.
    pub fn picks(&self, id: &[u8]) -> bool {
        let hash = Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(id).finalize();
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash);
        let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11;
        (number as f64) < self.share * (1u64 << 53) as f64
    }

    /// # Errors
    /// Names the number that is out of range.
    pub fn check(&self) -> Result<()> {
        let inside = |value: f64| value > 0.0 && value < 1.0;
        for (name, value, right) in [
            ("share", self.share, (0.0..=1.0).contains(&self.share)),
            ("limit", self.limit, inside(self.limit)),
            ("alpha", self.alpha, inside(self.alpha)),
        ] {
            if !right {
                return Err(CollabError::Certify(format!(
                    "audit: {name} is {value}, must be 0 to 1"
                )));
            }
        }
        Ok(())
    }
}

/// Stakes that are bet side by side, each half of the one before: large ones find large changes sooner.
const STAKES: usize = 10;

/// Watches for a disagreement above the limit. It may be stored and go on after a restart: beginning
/// anew would allow another alarm in vain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    limit: f64,
    alpha: f64,
    picked: u64,
    losses: u64,
    wealth: [f64; STAKES],
    tripped: bool,
}

impl Drift {
    /// Begins to watch.
    pub fn new(audit: &Audit) -> Drift {
        let Audit { limit, alpha, .. } = *audit;
        Drift { limit, alpha, picked: 0, losses: 0, wealth: [0.0; STAKES], tripped: false }
    }

    /// A picked request: whether the cascade's answer differs from the full model's. Returns whether
    /// everything is to be escalated from now on; an alarm stays.
    pub fn observe(&mut self, differs: bool) -> bool {
        self.picked += 1;
        self.losses += u64::from(differs);
        if self.tripped {
            return true;
        }
        let t = self.picked as f64;
        let begun = 1.0 / (t * (t + 1.0));
        let surprise = f64::from(u8::from(differs)) - self.limit;
        for (k, wealth) in self.wealth.iter_mut().enumerate() {
            // With a stake of 1 / limit, one request without a loss would cost everything.
            let stake = libm::exp2(-(1.0 + k as f64)) / self.limit;
            *wealth = (*wealth + begun) * (1.0 + stake * surprise);
        }
        self.tripped = self.evidence() >= 1.0 / self.alpha;
        self.tripped
    }

    /// The wealth: 1 at first, and 1/alpha for the alarm.
    pub fn evidence(&self) -> f64 {
        let kept_back = 1.0 / (self.picked as f64 + 1.0);
        self.wealth.iter().sum::<f64>() / STAKES as f64 + kept_back
    }

    /// Whether there was an alarm.
    pub fn tripped(&self) -> bool {
        self.tripped
    }

    /// Picked requests, and how many of them had another answer than the full model's.
    pub fn seen(&self) -> [u64; 2] {
        [self.picked, self.losses]
    }
}

/// Picked requests from a change to the alarm: the median of `runs` simulations, where the disagreement
/// is `before` for `steady` picked requests and `after` from then on. None where half of them are not
/// noticed within `most`.
pub fn delay(
    audit: &Audit,
    [before, after]: [f64; 2],
    steady: u64,
    most: u64,
    runs: u64,
) -> Option<u64> {
    let mut delays: Vec<u64> = (0..runs)
        .map(|run| {
            let mut rng = Rng::keyed(&[audit.seed, run]);
            let mut drift = Drift::new(audit);
            let mut draw = |rate: f64| (rng.next_u64() >> 11) as f64 / ((1u64 << 53) as f64) < rate;
            // An alarm before the change is none of it.
            for _ in 0..steady {
                drift.observe(draw(before));
            }
            drift.tripped = false;
            (1..=most).find(|_| drift.observe(draw(after))).unwrap_or(u64::MAX)
        })
        .collect();
    delays.sort_unstable();
    delays.get(delays.len() / 2).copied().filter(|&delay| delay <= most)
}
