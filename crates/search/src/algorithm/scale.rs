//! Costs as predictors see them.

/// A monotone scale that is linear near the best costs, which decide, and logarithmic far from them:
/// `ln(1 + (cost - best) / (median - best))`.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    best: f64,
    unit: f64,
}

impl Scale {
    /// The scale of `costs`, at least one.
    pub fn of(costs: &[f64]) -> Scale {
        let mut sorted = costs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (best, median) = (sorted[0], sorted[sorted.len() / 2]);
        let worst = sorted[sorted.len() - 1];
        // Where half of all are the best, the whole range is the unit.
        let unit = [median - best, worst - best].into_iter().find(|&unit| unit > 0.0);
        Scale { best, unit: unit.unwrap_or(1.0) }
    }

    /// A cost on the scale.
    pub fn shrink(&self, cost: f64) -> f64 {
        libm::log1p(((cost - self.best) / self.unit).max(-0.9))
    }

    /// The cost of a value on the scale.
    pub fn grow(&self, value: f64) -> f64 {
        // Beyond e^30 nothing is told apart.
        self.best + self.unit * libm::expm1(value.min(30.0))
    }
}
