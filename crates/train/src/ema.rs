//! Exponential moving average of parameters and BatchNorm statistics.
//!
//! Averaged weights generalise better than the last ones (Polyak and Juditsky 1992; Tarvainen and
//! Valpola 2017). Early averages would mostly remember the initialisation, so the decay warms up
//! as `min(decay, (1 + t) / (10 + t))` at update `t`.

use crate::params::Params;

/// Moving averages of what [`Params`] holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Ema {
    /// Averages of the parameters.
    pub values: Vec<f32>,
    /// Averages of the running statistics.
    pub stats: Vec<f32>,
    decay: f32,
}

impl Ema {
    /// Starts from the parameters as they are. `decay` is in `[0, 1)`.
    pub fn new(params: &Params, decay: f32) -> Ema {
        Ema { values: params.values.clone(), stats: params.stats.clone(), decay }
    }

    /// Takes the parameters after update `t`, counted from 0, into the average.
    pub fn update(&mut self, params: &Params, t: u64) {
        let decay = self.decay.min((1.0 + t as f32) / (10.0 + t as f32));
        blend(&mut self.values, &params.values, 1.0 - decay);
        blend(&mut self.stats, &params.stats, 1.0 - decay);
    }

    /// Exchanges the averages and the parameters: once to evaluate with the averages, once more
    /// to go on training.
    pub fn swap(&mut self, params: &mut Params) {
        std::mem::swap(&mut self.values, &mut params.values);
        std::mem::swap(&mut self.stats, &mut params.stats);
    }
}

fn blend(average: &mut [f32], new: &[f32], share: f32) {
    for (a, &n) in average.iter_mut().zip(new) {
        *a += share * (n - *a);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_at_the_decay_rate_after_the_warm_up() {
        let mut params = Params::default();
        (params.values, params.stats) = (vec![0.0], vec![2.0]);
        let mut ema = Ema::new(&params, 0.9);
        params.values[0] = 1.0;
        ema.update(&params, 0);
        assert!((ema.values[0] - 0.9).abs() < 1e-6, "first update has decay 1/10");
        ema.update(&params, 1_000_000);
        assert!((ema.values[0] - 0.91).abs() < 1e-6);
        assert_eq!(ema.stats, [2.0]);
        ema.swap(&mut params);
        assert_eq!(ema.values, [1.0]);
    }
}
