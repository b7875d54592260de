//! Arrays as NumPy writes them, `.npy` files of format versions 1 to 3
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).
//!
//! The header is a literal of three known keys, and just that form is read. Own code because readers of
//! Python expressions in general take minutes over nested brackets, and only an abort ends them.
//! Problems are phrases that stand behind the name of a file.

use crate::{Data, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read.
const MAX_HEADER: usize = 1 << 20;

/// Longest type that stands in a message.
const MAX_SHOWN: usize = 40;

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    /// Type of the elements as NumPy spells it, such as `<f4`: byte order, kind and size.
    pub dtype: &'a str,
    /// Extents, the outermost first.
    pub shape: Vec<usize>,
    /// The elements in row-major order, as many as the shape says.
    pub bytes: &'a [u8],
}

/// Reads a whole file of numbers in row-major order.
///
/// # Errors
/// What is wrong with the file, or not supported.
pub fn parse(file: &[u8]) -> Result<Array<'_>, String> {
    let cut = || "is cut off inside the header".to_string();
    let rest = file.strip_prefix(MAGIC).ok_or("is not a .npy array")?;
    let (start, length) = match rest {
        [1, _, a, b, ..] => (4, usize::from(u16::from_le_bytes([*a, *b]))),
        [2 | 3, _, a, b, c, d, ..] => (6, u32::from_le_bytes([*a, *b, *c, *d]) as usize),
        [] | [1..=3, ..] => return Err(cut()),
        [version, ..] => return Err(format!("has format version {version}; 1 to 3 are known")),
    };
    if length > MAX_HEADER {
        return Err(format!("declares a header of {length} bytes"));
    }
    let (header, bytes) = rest[start..].split_at_checked(length).ok_or_else(cut)?;
    let header = std::str::from_utf8(header).map_err(|_| "has a header that is not text")?;
    let dtype = value_of(header, "descr")
        .and_then(quoted)
        .ok_or("has a header without a plain 'descr': one array of numbers is read, no records")?;
    let shape = value_of(header, "shape").and_then(tuple);
    let shape = shape.ok_or("has a header without 'shape'")?;
    if value_of(header, "fortran_order").is_none_or(|rest| !rest.starts_with("False")) {
        return Err("is in Fortran order; save it with numpy.ascontiguousarray".into());
    }
    let Some(size) = item_size(dtype) else {
        let shown: String = dtype.chars().take(MAX_SHOWN).collect();
        return Err(format!("has type {shown}; numbers are read"));
    };
    let count = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    if count.and_then(|count| count.checked_mul(size)) != Some(bytes.len()) {
        let shown = &shape[..shape.len().min(MAX_SHOWN)];
        return Err(format!("has {} bytes of data for shape {shown:?} of {dtype}", bytes.len()));
    }
    Ok(Array { dtype, shape, bytes })
}

impl Array<'_> {
    /// Bytes of an element.
    pub fn item_size(&self) -> usize {
        item_size(self.dtype).unwrap_or(1)
    }

    /// Whether the last byte of an element is its lowest.
    pub fn is_big_endian(&self) -> bool {
        self.dtype.starts_with('>')
    }

    /// As a tensor; float64 is rounded to float32.
    ///
    /// # Errors
    /// Types that tensors do not have, and shapes beyond what they can have.
    pub fn to_tensor(&self) -> Result<Tensor, String> {
        let data: Data = match &self.dtype[1..] {
            "f4" => self.each(f32::from_le_bytes).into(),
            "f8" => self.each(|b| f64::from_le_bytes(b) as f32).into(),
            "u1" => self.bytes.to_vec().into(),
            "i1" => self.each(i8::from_le_bytes).into(),
            "i4" => self.each(i32::from_le_bytes).into(),
            "i8" => self.each(i64::from_le_bytes).into(),
            "b1" => self.each(|[b]: [u8; 1]| b != 0).into(),
            _ => {
                return Err(format!(
                    "has type {}; expected float32, float64, uint8, int8, int32, int64 or bool",
                    self.dtype
                ));
            }
        };
        Tensor::new(self.shape.clone(), data).map_err(|e| e.to_string())
    }

    /// Each element out of its bytes, the lowest first.
    fn each<T, const N: usize>(&self, read: impl Fn([u8; N]) -> T) -> Vec<T> {
        let element = |bytes: &[u8; N]| {
            let mut bytes = *bytes;
            if self.is_big_endian() {
                bytes.reverse();
            }
            read(bytes)
        };
        self.bytes.as_chunks().0.iter().map(element).collect()
    }
}

/// The file of a tensor: version 1, little-endian.
pub fn encode(tensor: &Tensor) -> Vec<u8> {
    let (dtype, bytes): (_, Vec<u8>) = match tensor.data() {
        Data::F32(d) => ("<f4", d.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::U8(d) => ("|u1", d.to_vec()),
        Data::I8(d) => ("|i1", d.iter().map(|&v| v as u8).collect()),
        Data::I32(d) => ("<i4", d.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::I64(d) => ("<i8", d.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::Bool(d) => ("|b1", d.iter().map(|&v| v.into()).collect()),
    };
    let extents: String = tensor.shape().iter().map(|extent| format!("{extent}, ")).collect();
    let shape = extents.trim_end();
    let head = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Magic, version and length are 10 bytes; with the header, which ends a line, a multiple of 64.
    let length = (10 + head.len() + 1).next_multiple_of(64) - 10;
    let header = format!("{head:<0$}\n", length - 1);
    [MAGIC, &[1, 0], &(length as u16).to_le_bytes(), header.as_bytes(), &bytes].concat()
}

/// Bytes of an element: integers, floating-point numbers or truth values.
fn item_size(dtype: &str) -> Option<usize> {
    match dtype.strip_prefix(['<', '>', '|', '='])? {
        "u1" | "i1" | "b1" => Some(1),
        "u2" | "i2" | "f2" => Some(2),
        "u4" | "i4" | "f4" => Some(4),
        "u8" | "i8" | "f8" => Some(8),
        _ => None,
    }
}

/// What follows `'key':` in the header.
fn value_of<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    ['\'', '"'].iter().find_map(|quote| {
        let (_, rest) = header.split_once(&format!("{quote}{key}{quote}"))?;
        Some(rest.trim_start().strip_prefix(':')?.trim_start())
    })
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|c| *c == '\'' || *c == '"')?;
    text[1..].split_once(quote).map(|(inside, _)| inside)
}

/// A tuple of sizes: `()`, `(5,)`, `(2, 3)`.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    let items = inside.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &[u8]) -> Result<Tensor, String> {
        parse(file)?.to_tensor()
    }

    #[test]
    fn what_is_written_is_read() {
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
            let file = encode(&tensor);
            assert_eq!(read(&file).unwrap(), tensor);
            let data = tensor.len() * tensor.dtype().bytes();
            assert_eq!((file.len() - data) % 64, 0);
        }
    }

    #[test]
    fn big_ends_are_turned() {
        let file = encode(&Tensor::vector(vec![1.5f32, -2.0]));
        let at = file.windows(3).position(|w| w == b"<f4").unwrap();
        let mut big = file.clone();
        big[at] = b'>';
        let data = big.len() - 8;
        big[data..].chunks_exact_mut(4).for_each(<[u8]>::reverse);
        assert_eq!(read(&big).unwrap(), read(&file).unwrap());
    }

    #[test]
    fn damage_is_an_error_and_nested_brackets_take_no_time() {
        let good = encode(&Tensor::new([2, 3], vec![1f32; 6]).unwrap());
        for cut in 0..good.len() {
            assert!(parse(&good[..cut]).is_err(), "{cut} bytes");
        }
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&flipped);
        }
        let nested = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        let header = format!("{{'descr': {nested}, 'fortran_order': False, 'shape': (3,), }}\n");
        let length = (header.len() as u32).to_le_bytes();
        let file = [MAGIC, &[2, 0], &length, header.as_bytes()].concat();
        let problem = parse(&file).unwrap_err();
        assert!(problem.contains("descr") && problem.len() < 200, "{problem}");
    }
}
