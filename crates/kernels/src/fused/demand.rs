//! Which rows of every layer a few rows of the last ones need.

use super::{Chain, Family, MAX_LAYERS, Place};
use crate::ConvShape;
use std::ops::Range;

/// Rows of each layer's output.
pub(super) type Needs = [Range<usize>; MAX_LAYERS];

/// No rows of any layer.
pub(super) fn nothing() -> Needs {
    std::array::from_fn(|_| 0..0)
}

/// The input rows that output rows read, without padding.
pub(super) fn input_rows(shape: &ConvShape, rows: &Range<usize>) -> Range<usize> {
    if rows.is_empty() {
        return 0..0;
    }
    let first = (rows.start * shape.sh).saturating_sub(shape.pt);
    let end = (rows.end - 1) * shape.sh + (shape.kh - 1) * shape.dh + 1;
    let end = end.saturating_sub(shape.pt).min(shape.h);
    first.min(end)..end
}

/// The smallest range that holds both.
fn union(a: &Range<usize>, b: &Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b.clone(),
        (_, true) => a.clone(),
        _ => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// The rows of each layer that rows `last` of the last layers need.
pub(super) fn demand<F: Family>(chain: &Chain<F>, last: Range<usize>) -> Needs {
    let mut needs = nothing();
    for index in (0..chain.layers.len()).rev() {
        let layer = &chain.layers[index];
        if matches!(layer.y.place, Place::Outer(_)) {
            needs[index] = last.clone();
        }
        let rows = needs[index].clone();
        let read = input_rows(&layer.shape, &rows);
        for writer in 0..index {
            let place = chain.layers[writer].y.place;
            if matches!(place, Place::Outer(_)) {
                continue;
            }
            if place == layer.x.place {
                needs[writer] = union(&needs[writer], &read);
            }
            let others = layer.residual.iter().chain(&layer.interleave);
            if others.into_iter().any(|other| other.place == place) {
                needs[writer] = union(&needs[writer], &rows);
            }
        }
    }
    needs
}

/// The rows that each ring must hold: the most that are needed at the same time.
pub(super) fn ring_rows<F: Family>(chain: &Chain<F>) -> Vec<usize> {
    let mut rows = vec![1; chain.rings.len()];
    // Bands may begin at any row.
    for first in 0..chain.rows() {
        let needs = demand(chain, first..(first + chain.step).min(chain.rows()));
        for (layer, need) in chain.layers.iter().zip(&needs) {
            if let Place::Ring(ring) = layer.y.place
                && let Some(rows) = rows.get_mut(ring)
            {
                *rows = need.len().max(*rows);
            }
        }
    }
    rows
}
