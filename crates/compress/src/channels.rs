//! What calibration remembers of each channel of a value.

/// Extremes and moments of every channel (dimension 1) of a value, over all images.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStats {
    /// Smallest element.
    pub low: Vec<f32>,
    /// Largest element.
    pub high: Vec<f32>,
    /// Sum of the elements.
    sum: Vec<f64>,
    /// Sum of their squares.
    square: Vec<f64>,
    /// Elements of each channel.
    count: u64,
}

impl ChannelStats {
    /// Counts one image: `channels` planes of equal size. Sums grow image by image, so that they
    /// do not depend on batches.
    pub(crate) fn add(&mut self, image: &[f32], channels: usize) {
        if self.low.is_empty() {
            self.low = vec![f32::INFINITY; channels];
            self.high = vec![f32::NEG_INFINITY; channels];
            self.sum = vec![0.0; channels];
            self.square = vec![0.0; channels];
        }
        let plane = image.len() / channels.max(1);
        if plane == 0 {
            return;
        }
        for (c, values) in image.chunks_exact(plane).enumerate() {
            let (mut low, mut high) = (self.low[c], self.high[c]);
            let (mut sum, mut square) = (0f64, 0f64);
            for &v in values {
                low = if v < low { v } else { low };
                high = if v > high { v } else { high };
                sum += f64::from(v);
                square += f64::from(v) * f64::from(v);
            }
            (self.low[c], self.high[c]) = (low, high);
            self.sum[c] += sum;
            self.square[c] += square;
        }
        self.count += plane as u64;
    }

    /// Number of channels; 0 before the first image.
    pub fn len(&self) -> usize {
        self.low.len()
    }

    /// Whether no image was counted.
    pub fn is_empty(&self) -> bool {
        self.low.is_empty()
    }

    /// Mean of channel `c`.
    pub fn mean(&self, c: usize) -> f64 {
        self.sum[c] / self.count.max(1) as f64
    }

    /// Mean square of channel `c`.
    pub fn mean_square(&self, c: usize) -> f64 {
        self.square[c] / self.count.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_planes() {
        let mut stats = ChannelStats::default();
        stats.add(&[1.0, 3.0, -2.0, 0.0], 2);
        stats.add(&[5.0, 3.0, 4.0, 2.0], 2);
        assert_eq!((&stats.low[..], &stats.high[..]), (&[1.0, -2.0][..], &[5.0, 4.0][..]));
        assert_eq!((stats.mean(0), stats.mean(1)), (3.0, 1.0));
        assert_eq!((stats.mean_square(0), stats.mean_square(1)), (11.0, 6.0));
    }
}
