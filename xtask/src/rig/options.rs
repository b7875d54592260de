//! The options of `cargo xtask rig`.

use std::path::Path;
use std::time::Duration;

use edgecut_collab::Trace;

use super::network::Outage;

pub const HELP: &str = "\
Usage: cargo xtask rig check
       cargo xtask rig run --link MBPS,RTT|TRACE --cloud COMMAND --edge COMMAND [OPTION...]
       cargo xtask rig policies [OPTION...]

Two hosts on this machine, 10.77.0.1 (edge) and 10.77.0.2 (cloud), each a network namespace, and a link
between them: the edge's packets pass a token bucket of the kernel (tbf), which follows a trace, and both
ways a relay in user space delays them. TCP goes by losses (Reno). `check` measures what the link does
beside what it was set to.
`run` starts COMMAND on the cloud and then the other on the edge, and ends with that one. `policies`, which
has options of its own, compares what edgecut decides with what never changes.

  --link L        megabits per second and round trip in milliseconds, or a trace: a JSON file with rows of
                  duration_ms, bandwidth_kbps and latency_ms, of the uplink
  --down MBPS     bandwidth towards the edge (default 100)
  --jitter MS     most that is added to each way of a packet (default 0)
  --loss SHARE    of the packets of each way, 0 to 1 (default 0)
  --outage KIND,AT,FOR
                  a dead link from second AT on for so many seconds: silent (packets vanish) or loud
                  (connections are reset)
  --cpu SHARE     of a core that the edge gets, 0.05 to 1: this is emulation of a slow device
  --seed N        of the jitter (default 1)

Needs the rights of root, iproute2, iptables and socat.

Example:
  cargo xtask rig run --link report_bus_0004.json --cpu 0.25 \\
      --cloud 'target/release/edgecut serve plans/server' --edge './measure.sh'
";

/// What the link is like over time.
pub struct Link {
    pub trace: Trace,
    pub down_bits: u64,
    pub jitter: Duration,
    pub loss: f64,
}

pub enum Task {
    Check,
    Run { cloud: String, edge: String },
}

pub struct Options {
    pub task: Task,
    pub link: Link,
    /// What kind, from when and how long.
    pub outage: Option<(Outage, Duration, Duration)>,
    pub cpu: Option<f64>,
    pub seed: u64,
}

impl Options {
    pub fn parse(args: &[&str]) -> Result<Options, String> {
        let (task, mut rest) = match args.split_first() {
            Some((&"check", rest)) => (Some(Task::Check), rest.iter()),
            Some((&"run", rest)) => (None, rest.iter()),
            _ => return Err("what to do is missing: check or run".into()),
        };
        let (mut trace, mut cloud, mut edge) = (None, None, None);
        let (mut down, mut jitter, mut loss) = (100.0, 0.0, 0.0);
        let (mut outage, mut cpu, mut seed) = (None, None, 1);
        while let Some(&arg) = rest.next() {
            let text = rest.next().copied().unwrap_or_default();
            let within = |least: f64, most: f64| {
                let number = text.parse().ok().filter(|x| (least..=most).contains(x));
                number.ok_or_else(|| format!("{arg}: '{text}' is not from {least} to {most}"))
            };
            match arg {
                "--link" => trace = Some(link(text)?),
                "--cloud" => cloud = Some(text.to_string()),
                "--edge" => edge = Some(text.to_string()),
                "--down" => down = within(0.01, 1e4)?,
                "--jitter" => jitter = within(0.0, 1e4)?,
                "--loss" => loss = within(0.0, 1.0)?,
                "--cpu" => cpu = Some(within(0.05, 1.0)?),
                "--outage" => outage = Some(dead(text)?),
                "--seed" => seed = text.parse().map_err(|_| format!("--seed: '{text}'"))?,
                _ => return Err(format!("no option is called '{arg}'")),
            }
        }
        let task = match (task, cloud, edge) {
            (Some(task), ..) => task,
            (None, Some(cloud), Some(edge)) => Task::Run { cloud, edge },
            _ => return Err("run needs --cloud and --edge".into()),
        };
        let trace = match (trace, &task) {
            (Some(trace), _) => trace,
            (None, Task::Check) => link("10,40")?,
            (None, Task::Run { .. }) => return Err("run needs --link".into()),
        };
        let jitter = Duration::from_secs_f64(jitter / 1e3);
        let link = Link { trace, down_bits: (down * 1e6) as u64, jitter, loss };
        Ok(Options { task, link, outage, cpu, seed })
    }
}

/// A trace, or a steady link as one.
fn link(text: &str) -> Result<Trace, String> {
    if let Some((rate, delay)) = text.split_once(',') {
        let row = format!(
            "[{{\"duration_ms\":1000,\"bandwidth_kbps\":{rate}e3,\"latency_ms\":{delay}}}]"
        );
        return Trace::parse(row.as_bytes()).map_err(|e| format!("--link {text}: {e}"));
    }
    Trace::read(Path::new(text)).map_err(|e| e.to_string())
}

fn dead(text: &str) -> Result<(Outage, Duration, Duration), String> {
    let wrong = || format!("--outage: '{text}' is not KIND,AT,FOR");
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

    #[test]
    fn options_are_read_or_refused() {
        let run = |extra: &[&'static str]| {
            let mut args = vec!["run", "--link", "5,40", "--cloud", "a", "--edge", "b"];
            args.extend(extra);
            Options::parse(&args)
        };
        let options = run(&["--outage", "loud,3,1.5", "--cpu", "0.25", "--loss", "0.01"]).unwrap();
        let (kind, at, length) = options.outage.unwrap();
        assert_eq!((kind, at.as_secs(), length.as_millis()), (Outage::Loud, 3, 1500));
        assert_eq!(options.link.trace.bits_per_second(0), 5_000_000);
        assert_eq!(options.link.trace.rtt_ns(0), 40_000_000);
        for wrong in [["--cpu", "2"], ["--outage", "silent,1"], ["--loss", "x"], ["--what", "1"]] {
            assert!(run(&wrong).is_err(), "{wrong:?}");
        }
        assert!(Options::parse(&["run", "--link", "5,40"]).is_err());
        assert!(Options::parse(&["check"]).is_ok() && Options::parse(&[]).is_err());
    }
}
