//! Physical order of values inside a plan.
//!
//! A value of four dimensions is an image batch and lies in memory as NHWC, dense; any other value
//! lies in row-major order as in ONNX. The order follows from the rank alone, so no step carries a
//! layout and two steps can never disagree about one.

/// Extents in physical order.
pub(crate) fn physical(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [n, c, h, w] => vec![n, h, w, c],
        _ => shape.to_vec(),
    }
}

/// The logical dimension at each physical position.
pub(crate) fn order(rank: usize) -> Vec<usize> {
    if rank == 4 { vec![0, 2, 3, 1] } else { (0..rank).collect() }
}

/// Physical position of a logical dimension.
pub(crate) fn axis(rank: usize, axis: usize) -> usize {
    order(rank).iter().position(|&a| a == axis).expect("axis below rank")
}

/// Whether NCHW and the physical order put the same bytes in the same places.
pub(crate) fn is_row_major(shape: &[usize]) -> bool {
    match *shape {
        [n, c, h, w] => c == 1 || h * w == 1 || n * c * h * w == 0,
        _ => true,
    }
}

/// Strides, in elements, of each logical dimension in the physical order.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; shape.len()];
    let mut stride = 1;
    for &axis in order(shape.len()).iter().rev() {
        strides[axis] = stride;
        stride *= shape[axis];
    }
    strides
}

/// Strides, in elements, of each dimension of a row-major tensor.
pub(crate) fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_channels_last() {
        assert_eq!(physical(&[2, 3, 4, 5]), [2, 4, 5, 3]);
        assert_eq!(strides(&[2, 3, 4, 5]), [60, 1, 15, 3]);
        assert_eq!((0..4).map(|a| axis(4, a)).collect::<Vec<_>>(), [0, 3, 1, 2]);
        assert!(is_row_major(&[2, 1, 4, 5]) && is_row_major(&[2, 9, 1, 1]));
        assert!(!is_row_major(&[1, 2, 2, 1]));
    }

    #[test]
    fn other_ranks_are_row_major() {
        assert_eq!(physical(&[2, 3, 4]), [2, 3, 4]);
        assert_eq!(strides(&[2, 3, 4]), [12, 4, 1]);
        assert!(is_row_major(&[2, 3, 4]));
    }
}
