//! Softmax cross entropy against any targets.

use edgecut_kernels::Ctx;
use edgecut_kernels::softmax::cross_entropy;

/// Buffers of the loss.
#[derive(Debug)]
pub(crate) struct Loss {
    rows: Vec<f32>,
}

impl Loss {
    pub fn new(batch: usize) -> Loss {
        Loss { rows: vec![0.0; batch] }
    }

    /// Cross entropy of `logits` against `targets`, both `[n, classes]`, over the sum of all targets:
    /// the mean over the rows where each adds up to 1. `d_logits` becomes its gradient.
    pub fn cross_entropy(
        &mut self,
        ctx: Ctx,
        logits: &[f32],
        targets: &[f32],
        classes: usize,
        d_logits: &mut [f32],
    ) -> f64 {
        let losses = &mut self.rows[..logits.len() / classes];
        let weight: f64 = targets.iter().map(|&t| f64::from(t)).sum();
        let scale = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        cross_entropy(ctx, classes, logits, targets, scale as f32, losses, d_logits);
        losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() * scale
    }
}
