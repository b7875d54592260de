//! Functions of two broadcast values.

use crate::interpret::Args;
use crate::interpret::element::{Element, Number, for_numbers};
use crate::{Binary, Data, Result};

/// Applies `function` to pairs of elements. Float32 results are rounded once.
pub(in crate::interpret) fn binary(args: &Args, function: Binary) -> Result<Data> {
    match function {
        Binary::Pow => {
            let power = |a: f32, b: f32| libm::pow(a.into(), b.into()) as f32;
            Ok(pairs(args, args.f32s(0)?, power)?.into())
        }
        Binary::PRelu => {
            let prelu = |a: f32, b: f32| if a >= 0.0 { a } else { a * b };
            Ok(pairs(args, args.f32s(0)?, prelu)?.into())
        }
        _ => Ok(for_numbers!(args, args.tensor(0)?.data(), a => arithmetic(args, a, function)?)),
    }
}

fn arithmetic<T: Number>(args: &Args, a: &[T], function: Binary) -> Result<Vec<T>> {
    match function {
        Binary::Add => pairs(args, a, T::add),
        Binary::Sub => pairs(args, a, T::sub),
        Binary::Mul => pairs(args, a, T::mul),
        Binary::Max => pairs(args, a, T::larger),
        Binary::Min => pairs(args, a, T::smaller),
        Binary::Div => divided(args, a, T::div),
        Binary::Fmod => divided(args, a, T::rem),
        Binary::Mod => divided(args, a, floor_remainder),
        Binary::Pow | Binary::PRelu => Err(args.node.error("takes float32 only")),
    }
}

/// The remainder with the sign of `b`.
fn floor_remainder<T: Number>(a: T, b: T) -> Option<T> {
    let rest = a.rem(b)?;
    let other_side = rest != T::ZERO && (rest < T::ZERO) != (b < T::ZERO);
    Some(if other_side { rest.add(b) } else { rest })
}

fn pairs<T: Element>(args: &Args, a: &[T], function: impl Fn(T, T) -> T) -> Result<Vec<T>> {
    let (b, out) = (args.elements::<T>(1)?, args.shape());
    let (a_at, b_at) = (args.broadcast(0, out)?, args.broadcast(1, out)?);
    Ok((0..args.len()).map(|i| function(a[a_at.at(i)], b[b_at.at(i)])).collect())
}

fn divided<T: Number>(
    args: &Args,
    a: &[T],
    function: impl Fn(T, T) -> Option<T>,
) -> Result<Vec<T>> {
    let (b, out) = (args.elements::<T>(1)?, args.shape());
    let (a_at, b_at) = (args.broadcast(0, out)?, args.broadcast(1, out)?);
    let quotient = |i: usize| {
        function(a[a_at.at(i)], b[b_at.at(i)])
            .ok_or_else(|| args.node.error(format!("element {i} is divided by zero")))
    };
    (0..args.len()).map(quotient).collect()
}
