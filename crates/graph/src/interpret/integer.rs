//! Products of 8-bit integers into int32 (ONNX MatMulInteger; ConvInteger is beside Conv).

use super::Args;
use super::matmul::multiply;
use crate::{Data, Result};

/// Matrix product of integers less their zero points, one for all or one for each row of the first
/// and column of the second. Sums that exceed 32 bits wrap around.
pub(super) fn mat_mul_integer(args: &Args) -> Result<Data> {
    let (a, b) = (args.tensor(0)?.shape(), args.tensor(1)?.shape());
    let (rows, depth) = (a[a.len() - 2], a[a.len() - 1]);
    let columns = b[b.len() - 1];
    let a = centred(args, 0, 2, |i| i / depth % rows)?;
    let b = centred(args, 1, 3, |i| i % columns)?;
    Ok(multiply(args, &a, &b, 0i64, |sum| sum as i32)?.into())
}

/// Elements of input `index` less their zero points in input `zeros`, of which element i has the
/// one at `own(i)` where there are several, and 0 where there is none.
pub(super) fn centred(
    args: &Args,
    index: usize,
    zeros: usize,
    own: impl Fn(usize) -> usize,
) -> Result<Vec<i32>> {
    let values = args.tensor(index)?.to_i64()?;
    let zeros = args.optional(zeros).map_or_else(|| Ok(vec![0]), |zeros| zeros.to_i64())?;
    let zero = |i| if zeros.len() == 1 { zeros[0] } else { zeros[own(i)] };
    // Differences of 8-bit numbers have 9 bits.
    Ok(values.iter().enumerate().map(|(i, &v)| (v - zero(i)) as i32).collect())
}
