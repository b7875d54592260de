//! The link as an option states it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use edgecut_collab::Trace;
use edgecut_collab::partition::Conditions;

use crate::errors::Result;

/// `MBPS,RTT` or the file of a trace.
#[derive(Clone, Debug)]
pub enum LinkName {
    /// Megabits per second and milliseconds.
    Fixed([f64; 2]),
    /// A recorded link.
    Trace(PathBuf),
}

impl FromStr for LinkName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<LinkName, String> {
        let Some((rate, rtt)) = text.split_once(',') else {
            return match text.parse::<f64>() {
                Ok(_) => Err(format!("'{text}': add the round-trip time, such as {text},20")),
                Err(_) => Ok(LinkName::Trace(text.into())),
            };
        };
        let number = |text: &str| text.trim().parse::<f64>().ok();
        match (number(rate), number(rtt)) {
            (Some(rate), Some(rtt))
                if (1e-6..=1e6).contains(&rate) && (0.0..=1e6).contains(&rtt) =>
            {
                Ok(LinkName::Fixed([rate, rtt]))
            }
            (Some(_), Some(_)) => {
                Err(format!("'{text}': allowed are 1e-6 to 1e6 Mbit/s and 0 to 1e6 ms"))
            }
            _ => Ok(LinkName::Trace(text.into())),
        }
    }
}

/// The link.
pub struct Link {
    /// What plans are made for: the link itself, or what is typical of the trace.
    pub now: Conditions,
    /// The trace.
    pub trace: Option<Trace>,
    /// In words.
    pub words: String,
}

impl Link {
    /// Opens it, behind a server with this wait in its queue.
    pub fn open(name: &LinkName, queue_ms: f64) -> Result<Link> {
        let queue_ns = (queue_ms * 1e6) as u64;
        let link = |now: Conditions, trace, words| Link {
            now: Conditions { queue_ns, ..now },
            trace,
            words,
        };
        Ok(match name {
            LinkName::Fixed([rate, rtt]) => {
                link(Conditions::idle(*rate, *rtt), None, format!("{rate} Mbit/s, {rtt} ms"))
            }
            LinkName::Trace(path) => Link::of_trace(path, link)?,
        })
    }

    fn of_trace(
        path: &Path,
        link: impl Fn(Conditions, Option<Trace>, String) -> Link,
    ) -> Result<Link> {
        let trace = Trace::read(path)?;
        let typical = trace.typical();
        let words = format!(
            "{} s of {}, typically {:.2} Mbit/s, {:.0} ms",
            trace.duration_ns() / 1_000_000_000,
            path.display(),
            typical.up_bits as f64 / 1e6,
            typical.rtt_ns as f64 / 1e6
        );
        Ok(link(typical, Some(trace), words))
    }
}
