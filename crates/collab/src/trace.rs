//! Recorded links: bandwidth over time.

use std::path::Path;

use serde::Deserialize;

use crate::partition::{Conditions, Cost};
use crate::{CollabError, Result};

/// Largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// Longest trace, 13 days: sums of times stay within 64 bits.
const MAX_NS: u64 = 1 << 50;

/// Most requests of a replay.
const MAX_STARTS: usize = 1000;

/// A row of a file: `[{"duration_ms": 1000, "bandwidth_kbps": 3200, "latency_ms": 40}, ...]`, as those
/// of the simulator Sabre (Spiteri et al., MMSys 2018).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Row {
    duration_ms: f64,
    bandwidth_kbps: f64,
    #[serde(default)]
    latency_ms: f64,
}

/// What a link could carry over some time, which then begins again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    spans: Vec<Span>,
}

/// A time of constant bandwidth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// When it ends, from the beginning of the trace.
    end_ns: u64,
    /// Bits that the trace has carried until then, in billionths: a bit per second and nanosecond.
    end_bits: u128,
    bits_per_second: u64,
    rtt_ns: u64,
}

impl Trace {
    /// Reads the trace at `path`. Its latencies are taken as round-trip times.
    ///
    /// # Errors
    /// Where the file cannot be read or is no trace.
    pub fn read(path: &Path) -> Result<Trace> {
        let fail = |problem: String| CollabError::Trace { path: path.into(), problem };
        let size = std::fs::metadata(path).map_err(|e| fail(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(fail(format!("{size} bytes; a trace has at most {MAX_BYTES}")));
        }
        let text = std::fs::read(path).map_err(|e| fail(e.to_string()))?;
        Trace::parse(&text).map_err(fail)
    }

    /// The trace that a file holds, or what is wrong with it.
    ///
    /// # Errors
    /// The row, and what is expected of it.
    pub fn parse(text: &[u8]) -> std::result::Result<Trace, String> {
        let rows: Vec<Row> = serde_json::from_slice(text).map_err(|e| {
            format!("is no list of {{duration_ms, bandwidth_kbps, latency_ms}}: {e}")
        })?;
        let mut spans = Vec::with_capacity(rows.len());
        let (mut end_ns, mut end_bits) = (0u64, 0u128);
        for (index, row) in rows.iter().enumerate() {
            let wrong = |what: &str| format!("row {index}: {what}");
            // A day in one row, and terabits, are typing errors.
            if !(0.0..=86_400_000.0).contains(&row.duration_ms) {
                return Err(wrong("duration_ms must be 0 to 86400000"));
            }
            if !(0.0..=1e9).contains(&row.bandwidth_kbps) {
                return Err(wrong("bandwidth_kbps must be 0 to 1e9"));
            }
            if !(0.0..=1e6).contains(&row.latency_ms) {
                return Err(wrong("latency_ms must be 0 to 1e6"));
            }
            let duration = (row.duration_ms * 1e6) as u64;
            let bits_per_second = (row.bandwidth_kbps * 1e3) as u64;
            end_ns += duration;
            end_bits += u128::from(duration) * u128::from(bits_per_second);
            if end_ns > MAX_NS {
                return Err(wrong("the trace is longer than 13 days"));
            }
            let rtt_ns = (row.latency_ms * 1e6) as u64;
            spans.push(Span { end_ns, end_bits, bits_per_second, rtt_ns });
        }
        match end_bits {
            0 => Err("carries nothing at all".into()),
            _ => Ok(Trace { spans }),
        }
    }

    /// Its length.
    pub fn duration_ns(&self) -> u64 {
        self.last().end_ns
    }

    /// The bandwidth at which a byte takes what it takes on average over the trace's time, dead times
    /// left out, and the mean round-trip time.
    pub fn typical(&self) -> Conditions {
        let (mut live, mut per_bit, mut rtt) = (0.0, 0.0, 0.0);
        let mut before = 0;
        for span in &self.spans {
            let duration = (span.end_ns - std::mem::replace(&mut before, span.end_ns)) as f64;
            rtt += duration * span.rtt_ns as f64;
            if span.bits_per_second > 0 {
                live += duration;
                per_bit += duration / span.bits_per_second as f64;
            }
        }
        let idle = Conditions::idle(0.0, 0.0);
        let rtt_ns = (rtt / self.duration_ns() as f64) as u64;
        Conditions { up_bits: (live / per_bit) as u64, rtt_ns, ..idle }
    }

    /// How long `bytes` take that are sent from `start_ns` on.
    pub fn send_ns(&self, start_ns: u64, bytes: u64) -> u64 {
        let (period, all) = (self.duration_ns(), self.last().end_bits);
        let start = start_ns % period;
        let span = &self.spans[self.spans.partition_point(|span| span.end_ns <= start)];
        let left = u128::from(span.end_ns - start) * u128::from(span.bits_per_second);
        let target = span.end_bits - left + u128::from(bytes) * 8_000_000_000;
        if bytes == 0 {
            return 0;
        }
        // What ends with the trace ends in it.
        let rounds = (target - 1) / all;
        let rest = target - rounds * all;
        let last = &self.spans[self.spans.partition_point(|span| span.end_bits < rest)];
        let early = (last.end_bits - rest) / u128::from(last.bits_per_second.max(1));
        let end = u128::from(last.end_ns) - early + rounds * u128::from(period);
        u64::try_from(end - u128::from(start)).unwrap_or(u64::MAX)
    }

    /// The round-trip time at `time_ns`.
    pub fn rtt_ns(&self, time_ns: u64) -> u64 {
        self.at(time_ns).rtt_ns
    }

    /// The bandwidth at `time_ns` in bits per second.
    pub fn bits_per_second(&self, time_ns: u64) -> u64 {
        self.at(time_ns).bits_per_second
    }

    fn at(&self, time_ns: u64) -> &Span {
        let time = time_ns % self.duration_ns();
        &self.spans[self.spans.partition_point(|span| span.end_ns <= time)]
    }

    /// Latencies of a plan, ascending, begun at up to a thousand moments spread evenly over the trace.
    /// `cost` is what it costs without a round trip; `sends` says whether it uses the link.
    pub fn replay(&self, cost: &Cost, sends: bool) -> Vec<u64> {
        let own = cost.device_ns + cost.server_ns + cost.fixed_ns;
        if !sends {
            return vec![own];
        }
        let count = (self.duration_ns() / 1_000_000).clamp(1, MAX_STARTS as u64);
        let latency = |index: u64| {
            let start = self.duration_ns() / count * index + cost.device_ns;
            own.saturating_add(self.rtt_ns(start)).saturating_add(self.send_ns(start, cost.bytes))
        };
        let mut latencies: Vec<u64> = (0..count).map(latency).collect();
        latencies.sort_unstable();
        latencies
    }

    fn last(&self) -> &Span {
        // A trace that carries something has a span.
        &self.spans[self.spans.len() - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second at 8 Mbit/s, one of silence, two at 80 Mbit/s.
    fn trace() -> Trace {
        let text = br#"[{"duration_ms": 1000, "bandwidth_kbps": 8000, "latency_ms": 20},
            {"duration_ms": 1000, "bandwidth_kbps": 0}, {"duration_ms": 2000, "bandwidth_kbps": 80000}]"#;
        Trace::parse(text).unwrap()
    }

    const MS: u64 = 1_000_000;

    #[test]
    fn bytes_take_what_the_link_gives_from_then_on() {
        let trace = trace();
        // A megabyte a second, then nothing for a second, then ten.
        assert_eq!(trace.send_ns(0, 1000), MS);
        assert_eq!(trace.send_ns(0, 1_000_000), 1000 * MS);
        assert_eq!(trace.send_ns(500 * MS, 1_500_000), 1600 * MS);
        assert_eq!(trace.send_ns(1500 * MS, 0), 0);
        assert_eq!(trace.send_ns(1500 * MS, 10_000), 501 * MS);
        // Over the end and around twice: 21 MB in four seconds.
        assert_eq!(trace.send_ns(3999 * MS, 20_000), 11 * MS);
        assert_eq!(trace.send_ns(0, 42_000_000), 8000 * MS);
        assert_eq!(trace.send_ns(4000 * MS, 1000), MS);
        assert_eq!((trace.rtt_ns(0), trace.rtt_ns(1500 * MS)), (20 * MS, 0));
        let rates = [0, 1500, 3999, 4000].map(|ms| trace.bits_per_second(ms * MS));
        assert_eq!(rates, [8_000_000, 0, 80_000_000, 8_000_000]);
    }

    #[test]
    fn replays_are_spread_over_the_trace() {
        let trace = trace();
        let cost = Cost { device_ns: MS, server_ns: MS, bytes: 1000, ..Cost::default() };
        assert_eq!(trace.replay(&cost, false), [2 * MS]);
        let latencies = trace.replay(&cost, true);
        assert_eq!(latencies.len(), 1000);
        assert_eq!(latencies[0], 2 * MS + MS / 10);
        assert!(*latencies.last().unwrap() > 990 * MS);
        assert_eq!(trace.typical().rtt_ns, 5 * MS);
        // One third of the live time at a microsecond a byte, two thirds at a tenth.
        assert_eq!(trace.typical().send_ns(1_000_000).div_ceil(MS), 400);
    }

    #[test]
    fn what_is_no_trace_is_refused() {
        for (text, says) in [
            ("{}", "no list"),
            ("[]", "carries nothing"),
            (r#"[{"duration_ms": 10, "bandwidth_kbps": 0}]"#, "carries nothing"),
            (r#"[{"duration_ms": -1, "bandwidth_kbps": 5}]"#, "row 0: duration_ms"),
            (r#"[{"duration_ms": 1, "bandwidth_kbps": 1e30}]"#, "row 0: bandwidth_kbps"),
        ] {
            let error = Trace::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
