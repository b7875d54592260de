//! The options of `cargo xtask rig policies`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::within;

/// Compare what edgecut decides with what never changes, on links that replay recorded traces
///
/// `edgecut edge` and `edgecut serve` on the two hosts of the rig. On each trace the same pictures are asked
/// about at the same moments under policies that take turns: on the device alone (local), as JPEG files to
/// the server (picture), by the best fixed cut where the plans have any, and by what edgecut decides. Beside
/// them an oracle that knows the link beforehand, computed from measured times and bytes. Prints a table for
/// each model, and writes policies.json and policies.html, a page without scripts, fonts or requests.
///
/// Where both hosts share a core the server comes first: it is idle while the device computes, but for the
/// reserve of edgecut's own policy.
#[derive(clap::Args)]
#[command(after_help = "Example:
  cargo xtask rig policies --data imagenet-224 --model mobilenet_v2.onnx,resnet-18 --traces 3 --seconds 60")]
pub struct Options {
    /// JPEG pictures, in folders of classes: plans are made with them, and they are asked about
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Networks of the zoo with random weights, ONNX files, or folders that `edgecut split --out-plans` has
    /// written
    #[arg(long = "model", value_name = "M,..", value_delimiter = ',',
        default_values = ["mobilenet-v2", "resnet-18"])]
    pub models: Vec<String>,
    /// How pictures become the input of models that do not say it
    #[arg(long, value_name = "P", default_value = "torchvision")]
    pub preprocess: String,
    /// Of the cuts' codec
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=8))]
    pub bits: u8,
    /// How many times as fast as the device the server is planned to be, such as 4x; without it what --quota
    /// leaves the device, the other way round
    #[arg(long, value_name = "Nx")]
    pub server: Option<String>,
    /// Of traces; without it those of 3G and 4G in EDGECUT_DATA, which were recorded on the downlink and are
    /// used as uplinks here
    #[arg(long, value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// So many traces, from the slowest to the fastest, or these
    #[arg(long, value_name = "N|NAME,..", default_value = "6", value_parser = traces)]
    traces: Traces,
    /// All traces
    #[arg(long, conflicts_with = "traces")]
    all: bool,
    /// Second of a trace in which it begins
    #[arg(long, value_name = "S", default_value = "0", value_parser = seconds)]
    pub from: Duration,
    /// Of each policy on each trace
    #[arg(long, value_name = "S", default_value = "40", value_parser = seconds)]
    pub seconds: Duration,
    /// Milliseconds between requests; without it 250, or the deadline where that is longer
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub period: Option<Duration>,
    /// Of a request, in milliseconds; without it twice what the device alone takes
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    pub deadline: Option<Duration>,
    /// Of a core that the edge gets: emulation of a slow device
    #[arg(long, value_name = "SHARE", default_value_t = 0.25,
        value_parser = |text: &str| within(text, 0.05, 1.0))]
    pub quota: f64,
    /// Processors of the edge and of the cloud; without it wherever this program may run
    #[arg(long, value_name = "E,C", value_parser = cores)]
    pub cores: Option<[usize; 2]>,
    /// Bandwidth towards the edge
    #[arg(long, value_name = "MBPS", default_value_t = 100.0,
        value_parser = |text: &str| within(text, 0.01, 1e4))]
    down: f64,
    #[arg(long, value_name = "DIR", default_value = "out/rig-policies")]
    pub out: PathBuf,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    pub edgecut: Option<PathBuf>,
}

/// Which traces.
#[derive(Clone, Debug, PartialEq)]
pub enum Traces {
    /// So many, spread over their rates.
    Some(usize),
    /// Those whose names have one of these.
    Named(Vec<String>),
    All,
}

impl Options {
    /// Traces that are replayed.
    pub fn traces(&self) -> &Traces {
        if self.all { &Traces::All } else { &self.traces }
    }

    /// Bits per second towards the edge.
    pub fn down_bits(&self) -> u64 {
        (self.down * 1e6) as u64
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    within(text, 0.0, 1e6).map(Duration::from_secs_f64)
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    within(text, 1.0, 1e5).map(|ms| Duration::from_secs_f64(ms / 1e3))
}

fn traces(text: &str) -> Result<Traces, String> {
    match text.parse() {
        Ok(0) => Err("at least one".into()),
        Ok(count) => Ok(Traces::Some(count)),
        Err(_) => Ok(Traces::Named(text.split(',').map(str::to_string).collect())),
    }
}

fn cores(text: &str) -> Result<[usize; 2], String> {
    let parts: Option<Vec<usize>> = text.split(',').map(|part| part.parse().ok()).collect();
    let parts = parts.and_then(|parts| parts.try_into().ok());
    parts.ok_or_else(|| "not E,C, numbers of two processors".into())
}

impl Traces {
    /// Files below `folder`, the slowest first.
    pub fn find(&self, folder: &Path) -> Result<Vec<super::Recorded>, String> {
        let mut found = vec![];
        for path in edgecut_testkit::files_below(folder, &["json"]) {
            let Ok(trace) = edgecut_collab::Trace::read(&path) else { continue };
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push(super::Recorded { name, trace });
        }
        found.sort_by(|a, b| {
            a.trace.typical().up_bits.cmp(&b.trace.typical().up_bits).then(a.name.cmp(&b.name))
        });
        let kept = |name: &str| match self {
            Traces::Named(names) => names.iter().any(|part| name.contains(part.as_str())),
            _ => true,
        };
        found.retain(|recorded| kept(&recorded.name));
        if found.is_empty() {
            return Err(format!("{}: no such traces (.json) there", folder.display()));
        }
        let Traces::Some(count) = self else { return Ok(found) };
        // The middles of so many equal parts.
        let chosen = |part: usize| (2 * part + 1) * found.len() / (2 * count);
        let mut places: Vec<usize> = (0..*count).map(chosen).collect();
        places.dedup();
        let mut index = 0..;
        found.retain(|_| places.contains(&index.next().unwrap_or(0)));
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    #[test]
    fn options_are_read_or_refused() {
        let parse = |extra: &[&'static str]| parsed::<Options>(&[&["--data", "."], extra].concat());
        let options = parse(&["--traces", "bus,tram", "--cores", "0,1", "--quota", "0.1"]).unwrap();
        assert_eq!(*options.traces(), Traces::Named(vec!["bus".into(), "tram".into()]));
        assert_eq!((options.cores, options.quota), (Some([0, 1]), 0.1));
        for wrong in [["--quota", "0"], ["--traces", "0"], ["--cores", "1"], ["--what", "1"]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
        assert!(parsed::<Options>(&[]).is_err() && parse(&["--seconds"]).is_err());
        assert_eq!(*parse(&["--all"]).unwrap().traces(), Traces::All);
    }

    #[test]
    fn some_traces_are_spread_over_all() {
        let folder = tempfile::tempdir().unwrap();
        for rate in 1..=9 {
            let row = format!(r#"[{{"duration_ms": 1000, "bandwidth_kbps": {rate}000}}]"#);
            std::fs::write(folder.path().join(format!("{rate}.json")), row).unwrap();
        }
        std::fs::write(folder.path().join("other.json"), "{}").unwrap();
        let names = |traces: Traces| -> Vec<String> {
            traces.find(folder.path()).unwrap().into_iter().map(|found| found.name).collect()
        };
        assert_eq!(names(Traces::Some(3)), ["2", "5", "8"]);
        assert_eq!(names(Traces::Some(20)).len(), 9);
        assert_eq!(names(Traces::Named(vec!["7".into()])), ["7"]);
        assert_eq!(names(Traces::All).len(), 9);
    }
}
