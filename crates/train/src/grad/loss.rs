//! Softmax cross entropy with label smoothing.

use edgecut_kernels::Ctx;

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
        _ctx: Ctx,
        logits: &[f32],
        labels: &[u32],
        classes: usize,
        smoothing: f32,
        d_logits: &mut [f32],
    ) -> f64 {
        let losses = &mut self.rows[..labels.len()];
        let n = labels.len() as f64;
        for (i, &label) in labels.iter().enumerate() {
            let row = &logits[i * classes..][..classes];
            let max = row.iter().fold(f32::MIN, |a, &b| a.max(b));
            let sum: f64 = row.iter().map(|v| f64::from(v - max).exp()).sum();
            let lse = sum.ln() + f64::from(max);
            let mut l = 0.0;
            for c in 0..classes {
                let t = f64::from(smoothing) / classes as f64
                    + if c == label as usize { 1.0 - f64::from(smoothing) } else { 0.0 };
                l += t * (lse - f64::from(row[c]));
                d_logits[i * classes + c] = (((f64::from(row[c]) - lse).exp() - t) / n) as f32;
            }
            losses[i] = l as f32;
        }
        losses.iter().map(|&l| f64::from(l)).sum::<f64>() / labels.len().max(1) as f64
    }
}
