//! NumPy's `.npy` files, format versions 1 to 3, as far as tests exchange tensors in them.
//! Problems are strings: only tests read them.

use std::path::Path;

use edgecut_graph::{Data, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Writes `tensor` in row-major order, little-endian.
pub fn write_npy(path: &Path, tensor: &Tensor) -> Result<(), String> {
    let (descr, bytes) = encode(tensor.data());
    let dims: Vec<String> = tensor.shape().iter().map(|d| format!("{d},")).collect();
    let mut header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", dims.join(" "));
    // Magic, version, length and header together must be a multiple of 64 bytes, ending a line.
    while !(MAGIC.len() + 4 + header.len() + 1).is_multiple_of(64) {
        header.push(' ');
    }
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|e| e.to_string())?;
    let mut file = [MAGIC, &[1, 0], &length.to_le_bytes()].concat();
    file.extend(header.as_bytes());
    file.extend(bytes);
    std::fs::write(path, file).map_err(|e| format!("{}: {e}", path.display()))
}

/// Reads a tensor in row-major order, little-endian. float64 is rounded to float32.
pub fn read_npy(path: &Path) -> Result<Tensor, String> {
    let file = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    decode(&file).map_err(|e| format!("{}: {e}", path.display()))
}

fn decode(file: &[u8]) -> Result<Tensor, String> {
    let rest = file.strip_prefix(MAGIC).ok_or("not an .npy file")?;
    let (start, length) = match rest {
        [1, _, a, b, ..] => (4, usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (6, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        _ => return Err("unknown .npy version".into()),
    };
    let body = rest.get(start..).unwrap_or_default();
    let header = body.get(..length).ok_or("truncated header")?;
    let header = std::str::from_utf8(header).map_err(|e| e.to_string())?;
    if field(header, "fortran_order")?.starts_with("True") {
        return Err("column-major order is not supported".into());
    }
    let dims = field(header, "shape")?.trim_start_matches('(');
    let dims = dims.split(')').next().unwrap_or_default().split(',').map(str::trim);
    let shape: Result<Vec<usize>, _> = dims.filter(|d| !d.is_empty()).map(str::parse).collect();
    let descr = field(header, "descr")?.trim_start_matches('\'');
    let data = elements(descr.split('\'').next().unwrap_or_default(), &body[length..])?;
    Tensor::new(shape.map_err(|e| e.to_string())?, data).map_err(|e| e.to_string())
}

/// What follows `'name':` in the header.
fn field<'a>(header: &'a str, name: &str) -> Result<&'a str, String> {
    let after = header.split(&format!("'{name}':")).nth(1);
    after.map(str::trim_start).ok_or_else(|| format!("header lacks {name}"))
}

fn encode(data: &Data) -> (&'static str, Vec<u8>) {
    match data {
        Data::F32(d) => ("<f4", d.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::U8(d) => ("|u1", d.to_vec()),
        Data::I8(d) => ("|i1", d.iter().map(|&v| v as u8).collect()),
        Data::I32(d) => ("<i4", d.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::I64(d) => ("<i8", d.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::Bool(d) => ("|b1", d.iter().map(|&v| v.into()).collect()),
    }
}

fn elements(descr: &str, bytes: &[u8]) -> Result<Data, String> {
    let four = || bytes.as_chunks::<4>().0.iter().copied();
    let eight = || bytes.as_chunks::<8>().0.iter().copied();
    Ok(match descr {
        "<f4" => four().map(f32::from_le_bytes).collect::<Vec<_>>().into(),
        "<f8" => eight().map(|b| f64::from_le_bytes(b) as f32).collect::<Vec<_>>().into(),
        "|u1" => bytes.to_vec().into(),
        "|i1" => bytes.iter().map(|&v| v as i8).collect::<Vec<_>>().into(),
        "<i4" => four().map(i32::from_le_bytes).collect::<Vec<_>>().into(),
        "<i8" => eight().map(i64::from_le_bytes).collect::<Vec<_>>().into(),
        "|b1" => bytes.iter().map(|&v| v != 0).collect::<Vec<_>>().into(),
        other => return Err(format!("element type '{other}' is not supported")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let tensors = [
            Tensor::new([2, 3], vec![0f32, -1.5, f32::MAX, 3.0, 4.0, 5.0]).unwrap(),
            Tensor::scalar(7.0),
            Tensor::vector(vec![1u8, 255]),
            Tensor::vector(vec![-128i8, 127]),
            Tensor::vector(vec![i32::MIN, 1]),
            Tensor::vector(vec![i64::MAX]),
            Tensor::vector(vec![true, false]),
            Tensor::new([0, 4], Vec::<f32>::new()).unwrap(),
        ];
        for tensor in tensors {
            write_npy(&path, &tensor).unwrap();
            assert_eq!(read_npy(&path).unwrap(), tensor);
        }
    }

    #[test]
    fn truncated_files_are_errors() {
        assert!(decode(b"").is_err());
        assert!(decode(b"\x93NUMPY\x01\x00\xff\xff{").is_err());
        assert!(decode(b"\x93NUMPY\x02").is_err());
    }
}
