//! Softmax cross entropy with label smoothing.

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

    /// Mean over the rows of `logits`, `[labels.len(), classes]`, of the cross entropy against
    /// one-hot labels of which a share `smoothing` is spread evenly over all classes; `d_logits`
    /// becomes its gradient.
    pub fn cross_entropy(
        &mut self,
        ctx: Ctx,
        logits: &[f32],
        labels: &[u32],
        classes: usize,
        smoothing: f32,
        d_logits: &mut [f32],
    ) -> f64 {
        let losses = &mut self.rows[..labels.len()];
        let count = labels.len().max(1);
        let scale = 1.0 / count as f32;
        cross_entropy(ctx, classes, logits, labels, smoothing, scale, losses, d_logits);
        losses.iter().map(|&loss| f64::from(loss)).sum::<f64>() / count as f64
    }
}
