//! The span that a request belongs to, as W3C Trace Context writes it
//! (`00-TRACE-PARENT-FLAGS`, level 1 of the recommendation).

use std::fmt;
use std::str::FromStr;

/// Trace, calling span and flags of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Traceparent {
    /// The trace, common to all that happens for one request; not 0.
    pub trace: u128,
    /// The span that this message comes from; not 0.
    pub span: u64,
    /// Whether the caller records the trace.
    pub sampled: bool,
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// What is no `traceparent` must be ignored, says the recommendation: so there is nothing to tell.
impl FromStr for Traceparent {
    type Err = ();

    fn from_str(text: &str) -> Result<Traceparent, ()> {
        let mut parts = text.split('-');
        let mut next = |digits: usize| {
            let part = parts.next().ok_or(())?;
            let hex = part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if part.len() == digits && hex {
                u128::from_str_radix(part, 16).map_err(|_| ())
            } else {
                Err(())
            }
        };
        let (version, trace) = (next(2)?, next(32)?);
        let (span, flags) = (next(16)? as u64, next(2)?);
        // Later versions may append fields; version 0 must not, and 255 is forbidden.
        if trace == 0 || span == 0 || version == 255 || (version == 0 && parts.next().is_some()) {
            return Err(());
        }
        Ok(Traceparent { trace, span, sampled: flags & 1 == 1 })
    }
}
