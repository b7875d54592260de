//! `.npy` arrays in and out, for checks against other tools.

use std::path::Path;

use edgecut_graph::{Data, Tensor};
use npyz::{DType, NpyFile, TypeChar, WriterBuilder};

use crate::errors::{Failure, Result};

/// Reads an array of float32, float64, uint8, int8, int32 or int64 in C order. float64 becomes
/// float32. Nothing is allocated beyond the size of the file.
pub fn read(path: &Path) -> Result<Tensor> {
    let bad = |problem: String| Failure::input(problem).at(path);
    let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    // npyz trusts the header's length; a header cannot be longer than its file.
    if bytes.len() < 10 || !bytes.starts_with(b"\x93NUMPY") {
        return Err(bad("is not a .npy file".into()));
    }
    let file = NpyFile::new(bytes.as_slice()).map_err(|e| bad(format!("broken header: {e}")))?;
    if file.order() != npyz::Order::C {
        return Err(bad("is in Fortran order; save numpy.ascontiguousarray(x)".into()));
    }
    let shape: Vec<usize> = file.shape().iter().map(|&d| d as usize).collect();
    let len = edgecut_graph::checked_len(&shape, &path.display().to_string())?;
    let DType::Plain(plain) = file.dtype() else {
        return Err(bad("holds records, expected one array of numbers".into()));
    };
    let size = plain.size_field() as usize;
    if len.checked_mul(size).is_none_or(|n| n > bytes.len()) {
        return Err(bad(format!("is shorter than its shape {shape:?} says")));
    }
    let broken = |e: std::io::Error| bad(format!("broken data: {e}"));
    let data: Data = match (plain.type_char(), size) {
        (TypeChar::Float, 4) => file.into_vec::<f32>().map_err(broken)?.into(),
        (TypeChar::Float, 8) => file
            .into_vec::<f64>()
            .map_err(broken)?
            .into_iter()
            .map(|v| v as f32)
            .collect::<Vec<f32>>()
            .into(),
        (TypeChar::Uint, 1) => file.into_vec::<u8>().map_err(broken)?.into(),
        (TypeChar::Int, 1) => file.into_vec::<i8>().map_err(broken)?.into(),
        (TypeChar::Int, 4) => file.into_vec::<i32>().map_err(broken)?.into(),
        (TypeChar::Int, 8) => file.into_vec::<i64>().map_err(broken)?.into(),
        _ => {
            return Err(bad(format!(
                "holds {}, expected float32, float64, uint8, int8, int32 or int64",
                file.dtype().descr()
            )));
        }
    };
    Ok(Tensor::new(shape, data)?)
}

/// Writes an array, whole or not at all.
pub fn write(path: &Path, tensor: &Tensor) -> Result<()> {
    let shape: Vec<u64> = tensor.shape().iter().map(|&d| d as u64).collect();
    let mut bytes = Vec::new();
    let written = match tensor.data() {
        Data::F32(d) => encode(&mut bytes, &shape, d),
        Data::U8(d) => encode(&mut bytes, &shape, d),
        Data::I8(d) => encode(&mut bytes, &shape, d),
        Data::I32(d) => encode(&mut bytes, &shape, d),
        Data::I64(d) => encode(&mut bytes, &shape, d),
        Data::Bool(d) => {
            encode(&mut bytes, &shape, &d.iter().map(|&b| u8::from(b)).collect::<Vec<u8>>())
        }
    };
    written.map_err(|e| Failure::io(path, &e))?;
    crate::files::write(path, &bytes)
}

fn encode<T: npyz::AutoSerialize + Copy>(
    bytes: &mut Vec<u8>,
    shape: &[u64],
    data: &[T],
) -> std::io::Result<()> {
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(bytes).begin_nd()?;
    writer.extend(data.iter().copied())?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_broken_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let tensor = Tensor::new(vec![2, 3], vec![1.0f32, -2.0, 3.5, 0.0, f32::MAX, 6.0]).unwrap();
        write(&path, &tensor).unwrap();
        assert_eq!(read(&path).unwrap(), tensor);
        let good = std::fs::read(&path).unwrap();
        for cut in 0..good.len() {
            std::fs::write(&path, &good[..cut]).unwrap();
            assert!(read(&path).is_err(), "{cut} bytes");
        }
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            let _ = read(&path);
        }
    }
}
