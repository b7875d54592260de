//! Conversion between element types.

use crate::{DType, Data};

/// The elements of `data` as `to`: floats towards zero and saturating, NaN as zero; integers
/// keep their low bits, as in NumPy; everything but zero is true.
pub(in crate::interpret) fn cast(data: &Data, to: DType) -> Data {
    if data.dtype() == to {
        return data.clone();
    }
    macro_rules! numbers {
        ($elements:expr) => {
            match to {
                DType::F32 => $elements.iter().map(|&v| v as f32).collect::<Vec<_>>().into(),
                DType::U8 => $elements.iter().map(|&v| v as u8).collect::<Vec<_>>().into(),
                DType::I8 => $elements.iter().map(|&v| v as i8).collect::<Vec<_>>().into(),
                DType::I32 => $elements.iter().map(|&v| v as i32).collect::<Vec<_>>().into(),
                DType::I64 => $elements.iter().map(|&v| v as i64).collect::<Vec<_>>().into(),
                DType::Bool => {
                    $elements.iter().map(|&v| v as f32 != 0.0).collect::<Vec<_>>().into()
                }
            }
        };
    }
    match data {
        Data::F32(d) => numbers!(d),
        Data::U8(d) => numbers!(d),
        Data::I8(d) => numbers!(d),
        Data::I32(d) => numbers!(d),
        Data::I64(d) => numbers!(d),
        Data::Bool(d) => numbers!(d.iter().map(|&v| u8::from(v)).collect::<Vec<_>>()),
    }
}
