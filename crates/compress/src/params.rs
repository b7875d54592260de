//! Scale and zero point of an activation.

use edgecut_graph::{Graph, Op, Tensor, ValueId};

use crate::bias::unique_node;
use crate::{Range, Result};

/// Smallest scale: below it, products of scales leave the range of normal float32 numbers.
const MIN_SCALE: f32 = 1e-12;

/// `real = (byte - zero_point) * scale`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Params {
    /// What a step of the byte stands for.
    pub scale: f32,
    /// The byte of 0.0.
    pub zero_point: u8,
}

impl Params {
    /// The affine map whose 256 bytes span `range`, widened to hold 0.0. The zero point is a whole
    /// byte, so 0.0 (padding, the floor of Relu) is exact, and where the range begins at 0.0 the
    /// lowest byte is 0.0.
    pub fn for_range(range: Range) -> Params {
        let (low, high) = (f64::from(range.low.min(0.0)), f64::from(range.high.max(0.0)));
        let scale = ((high - low) / 255.0) as f32;
        if scale.is_nan() || scale < MIN_SCALE {
            return Params { scale: if high > low { MIN_SCALE } else { 1.0 }, zero_point: 0 };
        }
        let zero_point = (-low / f64::from(scale)).round().clamp(0.0, 255.0) as u8;
        Params { scale, zero_point }
    }

    /// The lowest and the highest number that bytes stand for.
    pub(crate) fn reach(self) -> (f32, f32) {
        let real = |byte: f32| (byte - f32::from(self.zero_point)) * self.scale;
        (real(0.0), real(255.0))
    }

    /// The byte that stands for `x`, as QuantizeLinear computes it.
    pub fn quantize(self, x: f32) -> u8 {
        let q = (x / self.scale).round_ties_even() + f32::from(self.zero_point);
        q.clamp(0.0, 255.0) as u8
    }

    /// Appends Quantize and Dequantize of `x` to `graph`, named after `stem`; returns what the bytes
    /// stand for.
    ///
    /// # Errors
    /// Where `x` is not float32.
    pub fn round(self, graph: &mut Graph, x: ValueId, stem: &str) -> Result<ValueId> {
        let name = graph.unique_name(&format!("{stem}.scale"));
        let scale = graph.add_constant(name, Tensor::scalar(self.scale));
        let name = graph.unique_name(&format!("{stem}.zero"));
        let zero = graph.add_constant(name, Tensor::new(vec![], vec![self.zero_point])?);
        let name = unique_node(graph, &format!("{stem}.q"));
        let op = Op::Quantize { axis: 0 };
        let bytes = graph.add_node(name, op, &[Some(x), Some(scale), Some(zero)])?;
        let name = unique_node(graph, &format!("{stem}.dq"));
        let op = Op::Dequantize { axis: 0 };
        Ok(graph.add_node(name, op, &[Some(bytes), Some(scale), Some(zero)])?)
    }

    /// Whether clamping to `low..=high` before quantisation changes no byte: both bounds already
    /// saturate. QuantizeLinear is monotonic, so the bounds decide.
    pub(crate) fn implies_clamp(self, low: f32, high: f32) -> bool {
        self.quantize(low) == 0 && self.quantize(high) == 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn zero_is_exact_and_the_range_is_covered(a in -100f32..100.0, b in -100f32..100.0) {
            let range = Range { low: a.min(b), high: a.max(b) };
            let p = Params::for_range(range);
            prop_assert_eq!(p.quantize(0.0), p.zero_point);
            for x in [range.low, range.high] {
                let back = (f32::from(p.quantize(x)) - f32::from(p.zero_point)) * p.scale;
                prop_assert!((back - x).abs() <= p.scale * 1.001, "{x} becomes {back}");
            }
        }
    }

    #[test]
    fn clamps_are_implied_where_bytes_saturate() {
        let relu6 = Params::for_range(Range { low: 0.0, high: 6.0 });
        assert!(relu6.implies_clamp(0.0, 6.0) && relu6.implies_clamp(0.0, f32::INFINITY));
        let narrower = Params::for_range(Range { low: 0.0, high: 4.3 });
        assert!(narrower.implies_clamp(0.0, 6.0));
        let shared = Params::for_range(Range { low: -1.0, high: 8.0 });
        assert!(!shared.implies_clamp(0.0, f32::INFINITY) && !shared.implies_clamp(-1.0, 6.0));
    }

    #[test]
    fn degenerate_ranges_are_usable() {
        assert_eq!(Params::for_range(Range { low: 0.0, high: 0.0 }).scale, 1.0);
        assert_eq!(Params::for_range(Range { low: 0.0, high: 1e-30 }).scale, MIN_SCALE);
        let huge = Params::for_range(Range { low: f32::MIN, high: f32::MAX });
        assert!(huge.scale.is_finite());
    }
}
