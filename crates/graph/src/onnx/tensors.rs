//! Stored tensors: ONNX's many encodings to the six element types of the graph.
//!
//! | in the file | in the graph |
//! | --- | --- |
//! | float32, float16, bfloat16, float64 | float32 (float64 is rounded) |
//! | uint8, int8, int32, int64, bool | the same |
//! | uint4, int4 | uint8, int8 |
//! | int16, uint16 | int32 |
//! | uint32, uint64 | int64 (a value of 2^63 or more is refused) |
//!
//! Everything is allocated from the bytes that are present, after they were compared with the
//! declared shape, so a hostile shape costs nothing.

use std::io::{self, Read};
use std::sync::Arc;

use super::external::External;
use super::proto::{TensorProto, data_type as dt};
use crate::float16::{bfloat, half};
use crate::{DType, Data, GraphError, Result, Tensor, checked_len};

/// Element type of the graph for one of the file, or `None` where there is none.
pub(super) fn dtype(data_type: i32) -> Option<DType> {
    Some(match data_type {
        dt::FLOAT | dt::FLOAT16 | dt::BFLOAT16 | dt::DOUBLE => DType::F32,
        dt::UINT8 => DType::U8,
        dt::INT8 => DType::I8,
        dt::INT32 | dt::INT16 | dt::UINT16 => DType::I32,
        dt::INT64 | dt::UINT32 | dt::UINT64 => DType::I64,
        dt::BOOL => DType::Bool,
        _ => return None,
    })
}

/// Element type of the file for one of the graph.
pub(super) fn data_type(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => dt::FLOAT,
        DType::U8 => dt::UINT8,
        DType::I8 => dt::INT8,
        DType::I32 => dt::INT32,
        DType::I64 => dt::INT64,
        DType::Bool => dt::BOOL,
    }
}

/// Converts a stored tensor. `place` names it in errors.
pub(super) fn tensor(proto: &TensorProto, place: &str, external: &mut External) -> Result<Tensor> {
    let malformed = |problem: String| GraphError::Malformed { place: place.into(), problem };
    let kind = proto.data_type();
    let four_bits = matches!(kind, dt::UINT4 | dt::INT4);
    if proto.segment.is_some() {
        return Err(malformed("is stored in segments, which edgecut does not read".into()));
    }
    let Some(width) = width(kind).or(four_bits.then_some(1)) else {
        return Err(malformed(format!(
            "has element type {}; supported are the float, integer and bool types of 8 bits or \
             more except float8, and int4 and uint4",
            dt::name(kind)
        )));
    };
    let shape = proto.dims.iter().map(|&d| usize::try_from(d)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| malformed(format!("has a negative extent: {:?}", proto.dims)))?;
    let count = checked_len(&shape, place)?;
    // Two elements share a byte.
    let needs = if four_bits { count.div_ceil(2) } else { count * width };
    let data = if proto.data_location() == EXTERNAL {
        let decode = |bytes: &mut dyn Read| match four_bits {
            true => nibbles(kind, count, bytes).map(Some),
            false => from_bytes(kind, count, bytes),
        };
        external.read(&proto.external_data, kind, needs, place, decode)?
    } else if let Some(raw) = &proto.raw_data {
        if raw.len() != needs {
            let has = raw.len();
            return Err(malformed(format!("has {has} bytes, shape {shape:?} needs {needs}")));
        }
        match four_bits {
            true => nibbles(kind, count, &mut &raw[..]).ok(),
            false => from_raw(kind, raw),
        }
    } else if four_bits {
        // A number has the bits of two elements.
        let pairs = unpacked(&proto.int32_data, |v| u8::try_from(v as i32 & 0xff).ok());
        pairs
            .filter(|pairs| pairs.len() == needs)
            .and_then(|pairs| nibbles(kind, count, &mut &pairs[..]).ok())
    } else {
        from_fields(proto, kind)
    };
    let data = data.ok_or_else(|| {
        let kind = dt::name(kind);
        malformed(format!("holds a value outside the range of {kind} (uint64: of int64)"))
    })?;
    if data.len() != count {
        let has = data.len();
        return Err(malformed(format!("has {has} elements, shape {shape:?} needs {count}")));
    }
    Tensor::new(shape, data)
}

/// `TensorProto.data_location` of a tensor in another file.
pub(super) const EXTERNAL: i32 = 1;

/// Bytes of one stored element of the types that can be read.
fn width(kind: i32) -> Option<usize> {
    Some(match kind {
        dt::UINT8 | dt::INT8 | dt::BOOL => 1,
        dt::FLOAT16 | dt::BFLOAT16 | dt::INT16 | dt::UINT16 => 2,
        dt::FLOAT | dt::INT32 | dt::UINT32 => 4,
        dt::DOUBLE | dt::INT64 | dt::UINT64 => 8,
        _ => return None,
    })
}

/// Little-endian elements of a type that [`width`] knows; `None` where one does not fit int64.
fn from_raw(kind: i32, mut raw: &[u8]) -> Option<Data> {
    let count = raw.len() / width(kind)?;
    from_bytes(kind, count, &mut raw).expect("as many bytes as counted")
}

/// As [`from_raw`], from a stream of `count` elements whose bytes are known to be there.
fn from_bytes(kind: i32, count: usize, bytes: &mut dyn Read) -> io::Result<Option<Data>> {
    let mut fits = true;
    let data = match kind {
        dt::FLOAT => Data::F32(each(count, bytes, f32::from_le_bytes)?),
        dt::FLOAT16 => Data::F32(each(count, bytes, |b| half(u16::from_le_bytes(b)))?),
        dt::BFLOAT16 => Data::F32(each(count, bytes, |b| bfloat(u16::from_le_bytes(b)))?),
        dt::DOUBLE => Data::F32(each(count, bytes, |b| f64::from_le_bytes(b) as f32)?),
        dt::UINT8 => Data::U8(each(count, bytes, u8::from_le_bytes)?),
        dt::INT8 => Data::I8(each(count, bytes, i8::from_le_bytes)?),
        dt::BOOL => Data::Bool(each(count, bytes, |[b]| b != 0)?),
        dt::INT16 => Data::I32(each(count, bytes, |b| i16::from_le_bytes(b).into())?),
        dt::UINT16 => Data::I32(each(count, bytes, |b| u16::from_le_bytes(b).into())?),
        dt::INT32 => Data::I32(each(count, bytes, i32::from_le_bytes)?),
        dt::UINT32 => Data::I64(each(count, bytes, |b| u32::from_le_bytes(b).into())?),
        dt::INT64 => Data::I64(each(count, bytes, i64::from_le_bytes)?),
        _ => Data::I64(each(count, bytes, |b| {
            let value = i64::try_from(u64::from_le_bytes(b));
            fits &= value.is_ok();
            value.unwrap_or_default()
        })?),
    };
    Ok(fits.then_some(data))
}

/// `count` elements of 4 bits from a stream, the first of each byte in its lower half.
fn nibbles(kind: i32, count: usize, bytes: &mut dyn Read) -> io::Result<Data> {
    let pairs = each(count.div_ceil(2), bytes, |[pair]: [u8; 1]| pair)?;
    let halves = pairs.iter().flat_map(|&pair| [pair & 0xf, pair >> 4]).take(count);
    Ok(match kind {
        dt::UINT4 => Data::U8(halves.collect()),
        // The sign is the highest of the 4 bits.
        _ => Data::I8(halves.map(|half| (half << 4) as i8 >> 4).collect()),
    })
}

/// Two elements a byte, the first in the lower half: int4 of numbers from -8 to 7.
pub(super) fn int4(values: &[i8]) -> Vec<u8> {
    let half = |value: i8| value as u8 & 0xf;
    values.chunks(2).map(|pair| half(pair[0]) | pair.get(1).map_or(0, |&v| half(v) << 4)).collect()
}

/// Elements of `N` bytes each, converted on their way into the tensor's own memory.
fn each<const N: usize, T: Copy + Default>(
    count: usize,
    bytes: &mut dyn Read,
    mut convert: impl FnMut([u8; N]) -> T,
) -> io::Result<Arc<[T]>> {
    const CHUNK: usize = 1 << 14;
    let mut elements: Arc<[T]> = std::iter::repeat_n(T::default(), count).collect();
    let slots = Arc::get_mut(&mut elements).expect("not shared yet");
    let mut buffer = vec![[0u8; N]; count.min(CHUNK)];
    for chunk in slots.chunks_mut(CHUNK) {
        let part = &mut buffer[..chunk.len()];
        bytes.read_exact(part.as_flattened_mut())?;
        chunk.iter_mut().zip(part).for_each(|(slot, &mut bytes)| *slot = convert(bytes));
    }
    Ok(elements)
}

/// Elements of the typed fields; `None` where one is outside its type's range, or the field is
/// damaged.
fn from_fields(proto: &TensorProto, kind: i32) -> Option<Data> {
    fn narrow<T: TryFrom<i32>, U: Copy>(ints: &[u8], f: impl Fn(T) -> U) -> Option<Arc<[U]>> {
        // Of an int32 the lower half of the number is stored.
        unpacked(ints, |v| T::try_from(v as i32).ok().map(&f))
    }
    let ints = &proto.int32_data;
    Some(match kind {
        dt::FLOAT => from_raw(kind, &proto.float_data)?,
        dt::DOUBLE => from_raw(kind, &proto.double_data)?,
        dt::FLOAT16 => Data::F32(narrow::<u16, _>(ints, half)?),
        dt::BFLOAT16 => Data::F32(narrow::<u16, _>(ints, bfloat)?),
        dt::UINT8 => Data::U8(narrow::<u8, _>(ints, |v| v)?),
        dt::INT8 => Data::I8(narrow::<i8, _>(ints, |v| v)?),
        dt::BOOL => Data::Bool(narrow::<i32, _>(ints, |v| v != 0)?),
        dt::INT16 => Data::I32(narrow::<i16, _>(ints, i32::from)?),
        dt::UINT16 => Data::I32(narrow::<u16, _>(ints, i32::from)?),
        dt::INT32 => Data::I32(narrow::<i32, _>(ints, |v| v)?),
        dt::INT64 => Data::I64(unpacked(&proto.int64_data, |v| Some(v as i64))?),
        _ => Data::I64(unpacked(&proto.uint64_data, |v| i64::try_from(v).ok())?),
    })
}

/// Base-128 numbers, straight into the memory of the tensor; `None` where `f` refuses one or the
/// last one is cut off.
fn unpacked<T: Copy>(bytes: &[u8], f: impl Fn(u64) -> Option<T>) -> Option<Arc<[T]>> {
    // The last byte of each number has its high bit clear.
    let count = bytes.iter().filter(|b| **b < 0x80).count();
    let mut rest = bytes.iter();
    let first = next_number(&mut rest.clone()).and_then(&f);
    let Some(filler) = first.filter(|_| bytes.last().is_some_and(|b| *b < 0x80)) else {
        return bytes.is_empty().then(|| Arc::from([]));
    };
    let mut valid = true;
    let elements = (0..count).map(|_| {
        next_number(&mut rest).and_then(&f).unwrap_or_else(|| {
            valid = false;
            filler
        })
    });
    let elements: Arc<[T]> = elements.collect();
    valid.then_some(elements)
}

fn next_number(bytes: &mut std::slice::Iter<u8>) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let byte = *bytes.next()?;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::proto::{Bytes, packed};
    use super::*;

    #[test]
    fn every_encoding_of_every_type_gives_the_same_elements() {
        let raw = |kind, bytes: &[u8]| TensorProto {
            dims: vec![2],
            data_type: Some(kind),
            raw_data: Some(bytes.to_vec().into()),
            ..TensorProto::default()
        };
        let typed = |kind, ints: &[i32]| TensorProto {
            dims: vec![2],
            data_type: Some(kind),
            int32_data: packed(ints.iter().map(|&v| v as i64)),
            ..TensorProto::default()
        };
        let read = |p: &TensorProto| tensor(p, "t", &mut External::none()).unwrap();
        let floats = Data::from(vec![1f32, -2.0]);
        assert_eq!(read(&raw(dt::FLOAT16, &[0, 0x3c, 0, 0xc0])).data(), &floats);
        assert_eq!(read(&typed(dt::FLOAT16, &[0x3c00, 0xc000])).data(), &floats);
        assert_eq!(read(&raw(dt::BFLOAT16, &[0x80, 0x3f, 0, 0xc0])).data(), &floats);
        let mut double = raw(dt::DOUBLE, &[1f64.to_le_bytes(), (-2f64).to_le_bytes()].concat());
        assert_eq!(read(&double).data(), &floats);
        (double.double_data, double.raw_data) = (double.raw_data.take().unwrap(), None);
        assert_eq!(read(&double).data(), &floats);
        assert_eq!(read(&raw(dt::INT8, &[1, 254])).data(), &vec![1i8, -2].into());
        assert_eq!(read(&typed(dt::INT8, &[1, -2])).data(), &vec![1i8, -2].into());
        assert_eq!(read(&typed(dt::UINT8, &[1, 255])).data(), &vec![1u8, 255].into());
        assert_eq!(read(&typed(dt::BOOL, &[1, 0])).data(), &vec![true, false].into());
        assert_eq!(read(&raw(dt::INT16, &[1, 0, 254, 255])).data(), &vec![1i32, -2].into());
        assert_eq!(read(&typed(dt::UINT16, &[1, 65535])).data(), &vec![1i32, 65535].into());
        assert_eq!(
            read(&raw(dt::UINT32, &[1, 0, 0, 0, 0, 0, 0, 128])).data(),
            &vec![1i64, 1 << 31].into()
        );
    }

    #[test]
    fn two_elements_share_a_byte() {
        let base = TensorProto { dims: vec![3], ..TensorProto::default() };
        let read = |p: &TensorProto| tensor(p, "t", &mut External::none()).unwrap();
        for (kind, elements) in
            [(dt::INT4, Data::from(vec![-8i8, 7, -1])), (dt::UINT4, Data::from(vec![8u8, 7, 15]))]
        {
            let base = TensorProto { data_type: Some(kind), ..base.clone() };
            let raw = TensorProto { raw_data: Some(vec![0x78, 0x0f].into()), ..base.clone() };
            assert_eq!(read(&raw).data(), &elements);
            let ints = packed([0x78, 0x0f].into_iter());
            assert_eq!(read(&TensorProto { int32_data: ints, ..base.clone() }).data(), &elements);
            for wrong in [vec![0x78], vec![0x78, 0x0f, 0]] {
                let raw = TensorProto { raw_data: Some(wrong.clone().into()), ..base.clone() };
                assert!(tensor(&raw, "t", &mut External::none()).is_err());
                let ints = packed(wrong.iter().map(|&b| b.into()));
                let typed = TensorProto { int32_data: ints, ..base.clone() };
                assert!(tensor(&typed, "t", &mut External::none()).is_err());
            }
        }
        assert_eq!(int4(&[-8, 7, -1]), [0x78, 0x0f]);
    }

    #[test]
    fn contradictions_are_refused() {
        let base = TensorProto { dims: vec![2], data_type: Some(dt::FLOAT), ..Default::default() };
        let fails = |p: &TensorProto, part: &str| {
            let error = tensor(p, "t", &mut External::none()).unwrap_err().to_string();
            assert!(error.starts_with("t: ") && error.contains(part), "{error}");
        };
        fails(&base, "0 elements");
        fails(&TensorProto { raw_data: Some(vec![0; 7].into()), ..base.clone() }, "7 bytes");
        fails(&TensorProto { dims: vec![-1], ..base.clone() }, "negative");
        fails(&TensorProto { dims: vec![1 << 40, 1 << 40], ..base.clone() }, "limit");
        fails(&TensorProto { dims: vec![1; 9], ..base.clone() }, "dimensions");
        fails(&TensorProto { data_type: Some(dt::STRING), ..base.clone() }, "string");
        fails(&TensorProto { data_location: Some(1), ..base.clone() }, "external");
        let byte = TensorProto {
            data_type: Some(dt::UINT8),
            int32_data: packed([1, 256].into_iter()),
            ..base
        };
        fails(&byte, "outside the range");
        let wide = TensorProto {
            data_type: Some(dt::UINT64),
            int32_data: Bytes::new(),
            uint64_data: packed([1, i64::MIN].into_iter()),
            ..byte
        };
        fails(&wide, "of int64");
    }
}
