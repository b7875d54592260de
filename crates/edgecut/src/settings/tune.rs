//! What `--head` and `--lr-mult` say.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Most classes of a new head.
const MAX_CLASSES: usize = 100_000;

/// A new last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Head {
    /// Number of classes.
    pub classes: usize,
}

/// A factor of the learning rate for some layers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rate {
    /// Which layers.
    pub pattern: String,
    /// The factor.
    pub factor: f32,
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Head, String> {
        let number = text.strip_prefix("classes=").unwrap_or(text);
        match number.parse() {
            Ok(classes @ 1..=MAX_CLASSES) => Ok(Head { classes }),
            _ => Err(format!("'{text}' is not classes=N with 1 to {MAX_CLASSES} classes")),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let wrong = || format!("'{text}' is not PATTERN=FACTOR, such as features.*=0.1");
        let (pattern, factor) = text.rsplit_once('=').ok_or_else(wrong)?;
        let factor = factor.parse().map_err(|_| wrong())?;
        if pattern.is_empty() {
            return Err(wrong());
        }
        Ok(Rate { pattern: pattern.into(), factor })
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "classes={}", self.classes)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.pattern, self.factor)
    }
}

macro_rules! as_text {
    ($type:ty) => {
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<$type, String> {
                text.parse()
            }
        }
    };
}
as_text!(Head);
as_text!(Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["classes=10", "classes=100000"] {
            assert_eq!(text.parse::<Head>().unwrap().to_string(), text);
        }
        assert_eq!("10".parse::<Head>(), Ok(Head { classes: 10 }));
        assert!("classes=0".parse::<Head>().is_err());
        assert!("classes=ten".parse::<Head>().is_err());
        for text in ["features.*=0.1", "a=b=2"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert!("features.*".parse::<Rate>().is_err());
        assert!("=1".parse::<Rate>().is_err());
    }
}
