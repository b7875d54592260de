//! Weights that stay equal to one another.

use std::collections::HashMap;
use std::ops::Range;

use crate::params::{Kind, Params};

/// Which weights have one value together, tensor by tensor: those that are equal in the beginning.
///
/// The gradient of a weight is the mean over all that share its value: steepest descent among
/// networks whose weights stay equal, at the step sizes of ordinary training. (Han et al. 2016,
/// arXiv:1510.00149, take the sum, which moves a value by the number of its weights.) Every rule of
/// this crate treats weights of one tensor with the same value and gradients alike to the bit, so
/// they stay equal. A weight that is 0 stays 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    tensors: Vec<Codes>,
    averaged: Vec<f32>,
}

/// The weights of a tensor as numbers of their values.
#[derive(Clone, Debug)]
struct Codes {
    range: Range<usize>,
    codes: Vec<u8>,
    /// The code of the value 0.
    zero: Option<u8>,
    /// Weights with each code.
    counts: Vec<usize>,
}

impl Shared {
    /// Of the weights of layers, as they are. Empty where no tensor has few values and many weights.
    pub fn of(params: &Params) -> Shared {
        let weights = params.rates().filter(|(kind, ..)| *kind == Kind::Weight);
        let tensors = weights.filter_map(|(_, range, _)| Codes::of(&params.values, range));
        Shared { tensors: tensors.collect(), averaged: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// `gradients` with the mean of those that share a value in place of each.
    pub fn average(&mut self, gradients: &[f32]) -> &[f32] {
        self.averaged.clear();
        self.averaged.extend_from_slice(gradients);
        for Codes { range, codes, zero, counts } in &self.tensors {
            let own = &mut self.averaged[range.clone()];
            let mut means = vec![0.0f64; counts.len()];
            for (&gradient, &code) in own.iter().zip(codes) {
                means[usize::from(code)] += f64::from(gradient);
            }
            means.iter_mut().zip(counts).for_each(|(mean, &count)| *mean /= count as f64);
            if let Some(zero) = *zero {
                means[usize::from(zero)] = 0.0;
            }
            for (gradient, &code) in own.iter_mut().zip(codes) {
                *gradient = means[usize::from(code)] as f32;
            }
        }
        &self.averaged
    }
}

impl Codes {
    /// Of a tensor of at most 256 values, each of which two weights share on average.
    fn of(values: &[f32], range: Range<usize>) -> Option<Codes> {
        let weights = &values[range.clone()];
        let mut known: HashMap<u32, u8> = HashMap::new();
        let (mut codes, mut counts) = (Vec::with_capacity(weights.len()), Vec::new());
        for weight in weights {
            // 0 and -0 are one value.
            let bits = (weight + 0.0).to_bits();
            let code = match known.get(&bits) {
                Some(code) => *code,
                None => {
                    let next = u8::try_from(known.len()).ok()?;
                    known.insert(bits, next);
                    counts.push(0);
                    next
                }
            };
            counts[usize::from(code)] += 1;
            codes.push(code);
        }
        let zero = known.get(&0f32.to_bits()).copied();
        (2 * counts.len() <= weights.len()).then_some(Codes { range, codes, zero, counts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_means_over_equal_weights_and_zeros_get_none() {
        let values = [9.0, 1.0, 0.0, 1.0, -2.0, -0.0, 1.0, -2.0];
        let tensors = vec![Codes::of(&values, 1..8).unwrap()];
        let mut shared = Shared { tensors, averaged: vec![] };
        let gradients = [5.0, 1.0, 7.0, 2.0, -1.0, 8.0, 6.0, 4.0];
        assert_eq!(shared.average(&gradients), [5.0, 3.0, 0.0, 3.0, 1.5, 0.0, 3.0, 1.5]);
    }

    #[test]
    fn a_tensor_of_many_values_is_no_palette() {
        let values: Vec<f32> = (0..1000).map(|i| (i % 257) as f32).collect();
        assert!(Codes::of(&values, 0..1000).is_none());
        assert!(Codes::of(&values, 0..256).is_none(), "each weight has its own");
        let values: Vec<f32> = (0..1000).map(|i| (i % 256) as f32).collect();
        assert_eq!(Codes::of(&values, 0..1000).unwrap().counts.len(), 256);
    }
}
