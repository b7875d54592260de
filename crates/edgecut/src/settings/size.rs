//! Sizes of memory as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes: `256MB` is 256 million, `256MiB` 256 times 1024 squared, `1000000` itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size(pub u64);

/// Units and their bytes, the longest names first.
const UNITS: [(&str, f64); 10] = [
    ("kib", 1024.0),
    ("mib", 1048576.0),
    ("gib", 1073741824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("k", 1e3),
    ("m", 1e6),
    ("g", 1e9),
    ("b", 1.0),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let lower = text.trim().to_ascii_lowercase();
        let unit = UNITS.iter().find_map(|(name, bytes)| Some((lower.strip_suffix(name)?, *bytes)));
        let (number, unit) = unit.unwrap_or((&lower, 1.0));
        let bytes = number.trim().parse::<f64>().ok().map(|number| (number * unit).round());
        match bytes.filter(|bytes| (1.0..1e18).contains(bytes)) {
            Some(bytes) => Ok(Size(bytes as u64)),
            None => Err(format!("'{text}' is no size: write 256MB, 1.5GiB or a number of bytes")),
        }
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Size, String> {
        text.parse()
    }
}

impl From<Size> for String {
    fn from(size: Size) -> String {
        size.to_string()
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes.is_multiple_of(1_000_000) => write!(f, "{}MB", bytes / 1_000_000),
            bytes => write!(f, "{bytes}B"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        let read = |text: &str| text.parse::<Size>().map(|size| size.0);
        assert_eq!(read("256MB"), Ok(256_000_000));
        assert_eq!(read(" 1.5 gib "), Ok(1536 * 1024 * 1024));
        assert_eq!(read("512k"), Ok(512_000));
        assert_eq!(read("12345"), Ok(12345));
        for wrong in ["", "MB", "-3MB", "0", "nan", "inf", "1e30", "3 apples"] {
            assert!(read(wrong).unwrap_err().contains("256MB"), "{wrong}");
        }
        for size in [Size(256_000_000), Size(1_048_576)] {
            assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
