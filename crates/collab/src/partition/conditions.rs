//! What changes from one request to the next: the link and the server's load.

use serde::{Deserialize, Serialize};

/// Longest time that enters a plan, 2^45 ns (nearly ten hours): whatever takes longer is never
/// chosen anyway, and sums of them stay within 64 bits.
pub(super) const FOREVER_NS: u64 = 1 << 45;

/// The link and the server's load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Uplink in bits per second; 0 is a dead link.
    pub up_bits: u64,
    /// Downlink in bits per second; 0 leaves the answer out of the account.
    pub down_bits: u64,
    /// Round-trip time.
    pub rtt_ns: u64,
    /// Wait in the server's queue.
    pub queue_ns: u64,
    /// How long the server takes, in thousandths of the times that it was measured with.
    pub slowdown_permille: u32,
}

impl Conditions {
    /// An idle server behind a link of so many megabits per second (10^6) and milliseconds.
    pub fn idle(megabits: f64, rtt_ms: f64) -> Conditions {
        // Conversions of floats saturate.
        Conditions {
            up_bits: (megabits * 1e6) as u64,
            down_bits: 0,
            rtt_ns: (rtt_ms * 1e6) as u64,
            queue_ns: 0,
            slowdown_permille: 1000,
        }
    }

    /// What every plan pays that sends anything.
    pub fn fixed_ns(&self) -> u64 {
        self.rtt_ns.saturating_add(self.queue_ns).min(FOREVER_NS)
    }

    /// Time of `bytes` on the uplink, rounded up.
    pub fn send_ns(&self, bytes: u64) -> u64 {
        time(bytes, self.up_bits)
    }

    /// Time of an answer of `bytes` on the downlink, rounded up.
    pub fn reply_ns(&self, bytes: u64) -> u64 {
        if self.down_bits == 0 { 0 } else { time(bytes, self.down_bits) }
    }

    /// What `ns` of the measured server take under its load.
    pub fn loaded_ns(&self, ns: u64) -> u64 {
        let loaded = u128::from(ns) * u128::from(self.slowdown_permille) / 1000;
        u64::try_from(loaded).unwrap_or(FOREVER_NS).min(FOREVER_NS)
    }
}

fn time(bytes: u64, bits_per_second: u64) -> u64 {
    if bytes == 0 {
        return 0;
    }
    let picobits = u128::from(bytes) * 8_000_000_000;
    let ns = picobits.div_ceil(u128::from(bits_per_second.max(1)));
    u64::try_from(ns).unwrap_or(FOREVER_NS).min(FOREVER_NS)
}

/// What the device's radio takes: a model with stated constants, not a measurement.
///
/// Power while sending is linear in the rate, so that a bit has a price and a nanosecond has one
/// (Huang et al., "A close examination of performance and power characteristics of 4G LTE
/// networks", MobiSys 2012, table 4). 1 mW is 1 pJ per ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Radio {
    /// Picojoules of a bit that is sent: 1000 times the slope in mW per Mbit/s.
    pub pj_per_bit: u64,
    /// Milliwatts while the radio is on: from the first byte sent to the answer.
    pub on_mw: u64,
}

impl Radio {
    /// Wi-Fi: 283.17 mW per Mbit/s and 132.86 mW.
    pub const WIFI: Radio = Radio { pj_per_bit: 283_170, on_mw: 133 };
    /// LTE: 438.39 mW per Mbit/s and 1288.04 mW.
    pub const LTE: Radio = Radio { pj_per_bit: 438_390, on_mw: 1288 };
}
