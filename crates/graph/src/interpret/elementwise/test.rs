//! Functions that give or take booleans.

use crate::interpret::Args;
use crate::interpret::element::{Element, Number, for_any};
use crate::{Compare, Data, Logic, Result};

/// Compares pairs of elements; everything but equality of NaN with anything is false.
pub(in crate::interpret) fn compare(args: &Args, function: Compare) -> Result<Data> {
    let results = match args.tensor(0)?.data() {
        Data::F32(a) => ordered(args, a, function),
        Data::U8(a) => ordered(args, a, function),
        Data::I8(a) => ordered(args, a, function),
        Data::I32(a) => ordered(args, a, function),
        Data::I64(a) => ordered(args, a, function),
        Data::Bool(a) => pairs(args, a, |a, b| a == b),
    };
    Ok(results?.into())
}

fn ordered<T: Number>(args: &Args, a: &[T], function: Compare) -> Result<Vec<bool>> {
    match function {
        Compare::Equal => pairs(args, a, |a, b| a == b),
        Compare::Less => pairs(args, a, |a, b| a < b),
        Compare::LessOrEqual => pairs(args, a, |a, b| a <= b),
        Compare::Greater => pairs(args, a, |a, b| a > b),
        Compare::GreaterOrEqual => pairs(args, a, |a, b| a >= b),
    }
}

/// Joins pairs of booleans.
pub(in crate::interpret) fn logic(args: &Args, function: Logic) -> Result<Data> {
    let a = args.elements::<bool>(0)?;
    let results = match function {
        Logic::And => pairs(args, a, |a, b| a && b),
        Logic::Or => pairs(args, a, |a, b| a || b),
        Logic::Xor => pairs(args, a, |a, b| a != b),
    };
    Ok(results?.into())
}

fn pairs<T: Element>(args: &Args, a: &[T], function: impl Fn(T, T) -> bool) -> Result<Vec<bool>> {
    let (b, out) = (args.elements::<T>(1)?, args.shape());
    let (a_at, b_at) = (args.broadcast(0, out)?, args.broadcast(1, out)?);
    Ok((0..args.len()).map(|i| function(a[a_at.at(i)], b[b_at.at(i)])).collect())
}

/// Negates booleans.
pub(in crate::interpret) fn not(args: &Args) -> Result<Data> {
    Ok(args.elements::<bool>(0)?.iter().map(|v| !v).collect::<Vec<_>>().into())
}

/// Whether each element is not a number.
pub(in crate::interpret) fn is_nan(args: &Args) -> Result<Data> {
    Ok(args.f32s(0)?.iter().map(|v| v.is_nan()).collect::<Vec<_>>().into())
}

/// Whether each element is one of the infinities asked for.
pub(in crate::interpret) fn is_inf(args: &Args, negative: bool, positive: bool) -> Result<Data> {
    let found = |&v: &f32| negative && v == f32::NEG_INFINITY || positive && v == f32::INFINITY;
    Ok(args.f32s(0)?.iter().map(found).collect::<Vec<_>>().into())
}

/// Elements of the second input where the first is true, else of the third.
pub(in crate::interpret) fn choose(args: &Args) -> Result<Data> {
    let condition = args.elements::<bool>(0)?;
    Ok(for_any!(args.tensor(1)?.data(), a => chosen(args, condition, a)?))
}

fn chosen<T: Element>(args: &Args, condition: &[bool], a: &[T]) -> Result<Vec<T>> {
    let (b, out) = (args.elements::<T>(2)?, args.shape());
    let at = [args.broadcast(0, out)?, args.broadcast(1, out)?, args.broadcast(2, out)?];
    let choice = |i| if condition[at[0].at(i)] { a[at[1].at(i)] } else { b[at[2].at(i)] };
    Ok((0..args.len()).map(choice).collect())
}
