//! The element types, so that an operator is written once for all that it takes.

use std::cmp::Ordering;

use crate::{Data, Tensor};

/// Evaluates an expression on the elements, whatever their type, and makes [`Data`] of its vector.
macro_rules! for_any {
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            crate::Data::F32($elements) => crate::Data::from($body),
            crate::Data::U8($elements) => crate::Data::from($body),
            crate::Data::I8($elements) => crate::Data::from($body),
            crate::Data::I32($elements) => crate::Data::from($body),
            crate::Data::I64($elements) => crate::Data::from($body),
            crate::Data::Bool($elements) => crate::Data::from($body),
        }
    };
}

/// As [`for_any`] for float32 and integers; booleans are an error of the operator.
macro_rules! for_numbers {
    ($args:expr, $data:expr, $elements:ident => $body:expr) => {
        match $data {
            crate::Data::F32($elements) => crate::Data::from($body),
            crate::Data::U8($elements) => crate::Data::from($body),
            crate::Data::I8($elements) => crate::Data::from($body),
            crate::Data::I32($elements) => crate::Data::from($body),
            crate::Data::I64($elements) => crate::Data::from($body),
            crate::Data::Bool(_) => return Err($args.node.error("takes numbers, not booleans")),
        }
    };
}

pub(super) use {for_any, for_numbers};

/// A type of elements.
pub(super) trait Element: Copy + PartialEq {
    /// Zero, or false.
    const ZERO: Self;

    /// The elements of a tensor of this type.
    fn of(tensor: &Tensor) -> Option<&[Self]>;

    /// The nearest representable value: towards zero and saturating for integers, whether it is
    /// not zero for booleans.
    fn from_f32(value: f32) -> Self;
}

/// A type of numbers. Integers wrap around where a result does not fit.
pub(super) trait Number: Element + PartialOrd {
    /// Smallest value; minus infinity for floats.
    const LOWEST: Self;
    /// Largest value; infinity for floats.
    const HIGHEST: Self;

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// The quotient, towards zero for integers; `None` where an integer is divided by zero.
    fn div(self, other: Self) -> Option<Self>;
    /// The remainder with the sign of `self`; `None` where an integer is divided by zero.
    fn rem(self, other: Self) -> Option<Self>;
    fn abs(self) -> Self;
    fn neg(self) -> Self;
    /// -1, 0 or 1; NaN for NaN.
    fn sign(self) -> Self;
    fn is_nan(self) -> bool;

    /// The larger one; NaN where either is.
    fn larger(self, other: Self) -> Self {
        if other > self || other.is_nan() { other } else { self }
    }

    /// The smaller one; NaN where either is.
    fn smaller(self, other: Self) -> Self {
        if other < self || other.is_nan() { other } else { self }
    }

    /// A total order: NaN is above everything, all NaN are equal, and so are the two zeros.
    fn order(self, other: Self) -> Ordering {
        let unordered = || self.is_nan().cmp(&other.is_nan());
        self.partial_cmp(&other).unwrap_or_else(unordered)
    }
}

macro_rules! element {
    ($($variant:ident: $type:ty, $zero:expr, $from:expr;)*) => {$(
        impl Element for $type {
            const ZERO: Self = $zero;

            fn of(tensor: &Tensor) -> Option<&[Self]> {
                match tensor.data() {
                    Data::$variant(elements) => Some(elements),
                    _ => None,
                }
            }

            fn from_f32(value: f32) -> Self {
                let convert: fn(f32) -> Self = $from;
                convert(value)
            }
        }
    )*};
}
element! {
    F32: f32, 0.0, |v| v;
    U8: u8, 0, |v| v as u8;
    I8: i8, 0, |v| v as i8;
    I32: i32, 0, |v| v as i32;
    I64: i64, 0, |v| v as i64;
    Bool: bool, false, |v| v != 0.0;
}

impl Number for f32 {
    const LOWEST: Self = f32::NEG_INFINITY;
    const HIGHEST: Self = f32::INFINITY;

    fn add(self, other: Self) -> Self {
        self + other
    }

    fn sub(self, other: Self) -> Self {
        self - other
    }

    fn mul(self, other: Self) -> Self {
        self * other
    }

    fn div(self, other: Self) -> Option<Self> {
        Some(self / other)
    }

    fn rem(self, other: Self) -> Option<Self> {
        Some(self % other)
    }

    fn abs(self) -> Self {
        f32::abs(self)
    }

    fn neg(self) -> Self {
        -self
    }

    fn sign(self) -> Self {
        if self > 0.0 {
            1.0
        } else if self < 0.0 {
            -1.0
        } else {
            self
        }
    }

    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const LOWEST: Self = <$type>::MIN;
            const HIGHEST: Self = <$type>::MAX;

            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }

            fn div(self, other: Self) -> Option<Self> {
                (other != 0).then(|| self.wrapping_div(other))
            }

            fn rem(self, other: Self) -> Option<Self> {
                (other != 0).then(|| self.wrapping_rem(other))
            }

            #[allow(unused_comparisons)] // one macro for signed and unsigned types
            fn abs(self) -> Self {
                if self < 0 { self.wrapping_neg() } else { self }
            }

            fn neg(self) -> Self {
                self.wrapping_neg()
            }

            #[allow(unused_comparisons)]
            fn sign(self) -> Self {
                if self < 0 { (0 as $type).wrapping_sub(1) } else { (self > 0).into() }
            }

            fn is_nan(self) -> bool {
                false
            }
        }
    )*};
}
integer!(u8, i8, i32, i64);
