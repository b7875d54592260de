//! The options of `cargo xtask rig`.

use std::path::Path;
use std::time::Duration;

use edgecut_collab::Trace;

use crate::cli::within;

use super::network::Outage;

/// What is done with the two hosts.
#[derive(clap::Subcommand)]
pub enum Task {
    /// Measure what the link does beside what it was set to
    Check {
        /// Of the jitter
        #[arg(long, value_name = "N", default_value_t = 1)]
        seed: u64,
    },
    Run(Run),
    Policies(super::policies::Options),
}

/// Start a program on the cloud and then one on the edge, and end with that one
#[derive(clap::Args)]
#[command(after_help = "Example:
  cargo xtask rig run --link report_bus_0004.json --cpu 0.25 \\
      --cloud 'target/release/edgecut serve plans/server' --edge './measure.sh'")]
pub struct Run {
    /// Megabits per second and round trip in milliseconds, or a trace: a JSON file with rows of duration_ms,
    /// bandwidth_kbps and latency_ms, of the uplink
    #[arg(long, value_name = "MBPS,RTT|TRACE", value_parser = trace)]
    link: Trace,
    /// A line of the shell
    #[arg(long, value_name = "COMMAND")]
    pub cloud: String,
    /// Another one
    #[arg(long, value_name = "COMMAND")]
    pub edge: String,
    /// Bandwidth towards the edge
    #[arg(long, value_name = "MBPS", default_value_t = 100.0,
        value_parser = |text: &str| within(text, 0.01, 1e4))]
    down: f64,
    /// Most that is added to each way of a packet
    #[arg(long, value_name = "MS", default_value_t = 0.0,
        value_parser = |text: &str| within(text, 0.0, 1e4))]
    jitter: f64,
    /// Of the packets of each way
    #[arg(long, value_name = "SHARE", default_value_t = 0.0,
        value_parser = |text: &str| within(text, 0.0, 1.0))]
    loss: f64,
    /// A dead link from second AT on for so many seconds: silent (packets vanish) or loud (connections are
    /// reset)
    #[arg(long, value_name = "KIND,AT,FOR", value_parser = dead)]
    pub outage: Option<(Outage, Duration, Duration)>,
    /// Of a core that the edge gets: this is emulation of a slow device
    #[arg(long, value_name = "SHARE", value_parser = |text: &str| within(text, 0.05, 1.0))]
    pub cpu: Option<f64>,
    /// Of the jitter
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// What the link is like over time.
pub struct Link {
    pub trace: Trace,
    pub down_bits: u64,
    pub jitter: Duration,
    pub loss: f64,
}

impl Run {
    pub fn link(&self) -> Link {
        Link {
            trace: self.link.clone(),
            down_bits: (self.down * 1e6) as u64,
            jitter: Duration::from_secs_f64(self.jitter / 1e3),
            loss: self.loss,
        }
    }
}

/// A trace, or a steady link as one.
fn trace(text: &str) -> Result<Trace, String> {
    if let Some((rate, delay)) = text.split_once(',') {
        let row = format!(
            "[{{\"duration_ms\":1000,\"bandwidth_kbps\":{rate}e3,\"latency_ms\":{delay}}}]"
        );
        return Trace::parse(row.as_bytes()).map_err(|e| e.to_string());
    }
    Trace::read(Path::new(text)).map_err(|e| e.to_string())
}

fn dead(text: &str) -> Result<(Outage, Duration, Duration), String> {
    let wrong = || "not KIND,AT,FOR".to_string();
    let words: Vec<&str> = text.split(',').collect();
    let [kind, at, length] = words[..] else { return Err(wrong()) };
    let kind = match kind {
        "silent" => Outage::Silent,
        "loud" => Outage::Loud,
        _ => return Err(wrong()),
    };
    let seconds = |text: &str| {
        let number = text.parse().ok().filter(|x| (0.0..1e6).contains(x));
        number.map(Duration::from_secs_f64).ok_or_else(wrong)
    };
    Ok((kind, seconds(at)?, seconds(length)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    #[test]
    fn options_are_read_or_refused() {
        let run = |extra: &[&'static str]| {
            let mut args = vec!["--link", "5,40", "--cloud", "a", "--edge", "b"];
            args.extend(extra);
            parsed::<Run>(&args)
        };
        let options = run(&["--outage", "loud,3,1.5", "--cpu", "0.25", "--loss", "0.01"]).unwrap();
        let (kind, at, length) = options.outage.unwrap();
        assert_eq!((kind, at.as_secs(), length.as_millis()), (Outage::Loud, 3, 1500));
        let link = options.link();
        assert_eq!((link.trace.bits_per_second(0), link.trace.rtt_ns(0)), (5_000_000, 40_000_000));
        for wrong in [["--cpu", "2"], ["--outage", "silent,1"], ["--loss", "x"], ["--what", "1"]] {
            assert!(run(&wrong).is_err(), "{wrong:?}");
        }
        assert!(parsed::<Run>(&["--link", "5,40"]).is_err());
    }
}
