//! Broadcasting by NumPy's rules.

/// Where each element of a broadcast result comes from (NumPy rules).
pub(in crate::interpret) struct Broadcast {
    /// Extent of the result and step in the source for each dimension of the result; empty
    /// where both have the same shape.
    dims: Vec<(usize, usize)>,
}

impl Broadcast {
    /// A tensor of `shape` seen as one of `out`, which it must broadcast to.
    pub(in crate::interpret) fn new(shape: &[usize], out: &[usize]) -> Broadcast {
        if shape == out {
            return Broadcast { dims: vec![] };
        }
        let mut step = 1;
        let mut dims = Vec::with_capacity(out.len());
        for (i, &extent) in out.iter().rev().enumerate().filter(|(_, extent)| **extent != 1) {
            let own = if i < shape.len() { shape[shape.len() - 1 - i] } else { 1 };
            let own_step = if own == 1 { 0 } else { step };
            match dims.last_mut() {
                // Two dimensions that are walked as one.
                Some((inner, inner_step)) if own_step == *inner * *inner_step => *inner *= extent,
                _ => dims.push((extent, own_step)),
            }
            step *= own;
        }
        // One element, whatever its dimensions: keep the list non-empty, so that it is used.
        if dims.is_empty() {
            dims.push((1, 0));
        }
        Broadcast { dims }
    }

    /// Index in the source of the element at `flat` of the result.
    pub(in crate::interpret) fn at(&self, flat: usize) -> usize {
        if self.dims.is_empty() {
            return flat;
        }
        let mut rest = flat;
        let mut index = 0;
        for &(extent, step) in &self.dims {
            index += rest % extent * step;
            rest /= extent;
        }
        index
    }
}
