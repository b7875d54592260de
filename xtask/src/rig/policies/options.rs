//! The options of `cargo xtask rig policies`.

use std::path::{Path, PathBuf};
use std::time::Duration;

pub const HELP: &str = "\
Usage: cargo xtask rig policies --data DIR [OPTION...]

`edgecut edge` and `edgecut serve` on the two hosts of the rig, with a link that replays recorded traces.
On each trace the same pictures are asked about at the same moments under policies that take turns: on the
device alone (local), as JPEG files to the server (picture), by the best fixed cut where the plans have
any, and by what edgecut decides. Beside them an oracle that knows the link beforehand, computed from
measured times and bytes. Prints a table for each model, and writes policies.json and policies.html, a page
without scripts, fonts or requests.

  --data DIR      JPEG pictures, in folders of classes: plans are made with them, and they are asked about
  --model M,...   networks of the zoo with random weights, ONNX files, or folders that
                  `edgecut split --out-plans` has written (default mobilenet-v2,resnet-18)
  --preprocess P  how pictures become the input of models that do not say it (default torchvision)
  --bits N        of the cuts' codec (default 4)
  --server Nx     how many times as fast as the device the server is planned to be (default: what --quota
                  leaves the device, the other way round)
  --folder DIR    of traces (default: those of 3G and 4G in EDGECUT_DATA, which were recorded on the
                  downlink and are used as uplinks here)
  --traces N|NAME,...
                  so many traces, from the slowest to the fastest (default 6), or these
  --all           all traces
  --from S        where in a trace it begins (default 0)
  --seconds S     of each policy on each trace (default 40)
  --period MS     between requests (default 250, or the deadline where that is longer)
  --deadline MS   of a request (default: twice what the device alone takes)
  --quota SHARE   of a core that the edge gets, 0.05 to 1 (default 0.25): emulation of a slow device
  --cores E,C     processors of the edge and of the cloud (default: wherever this program may run)
  --down MBPS     bandwidth towards the edge (default 100)
  --out DIR       (default out/rig-policies)
  --edgecut FILE  the program (default: built for speed)

Needs the rights of root, iproute2, iptables and socat. Where both hosts share a core the server comes first:
it is idle while the device computes, but for the reserve of edgecut's own policy.

Example:
  cargo xtask rig policies --data imagenet-224 --model mobilenet_v2.onnx,resnet-18 --traces 3 --seconds 60
";

pub struct Options {
    pub data: PathBuf,
    pub models: Vec<String>,
    pub preprocess: String,
    pub bits: u8,
    pub server: Option<String>,
    pub folder: Option<PathBuf>,
    pub traces: Traces,
    pub from: Duration,
    pub seconds: Duration,
    pub period: Option<Duration>,
    pub deadline: Option<Duration>,
    pub quota: f64,
    pub cores: Option<[usize; 2]>,
    pub down_bits: u64,
    pub out: PathBuf,
    pub edgecut: Option<PathBuf>,
}

/// Which traces.
#[derive(Debug, PartialEq)]
pub enum Traces {
    /// So many, spread over their rates.
    Some(usize),
    /// Those whose names have one of these.
    Named(Vec<String>),
    All,
}

impl Options {
    pub fn parse(args: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            data: PathBuf::new(),
            models: vec!["mobilenet-v2".into(), "resnet-18".into()],
            preprocess: "torchvision".into(),
            bits: 4,
            server: None,
            folder: None,
            traces: Traces::Some(6),
            from: Duration::ZERO,
            seconds: Duration::from_secs(40),
            period: None,
            deadline: None,
            quota: 0.25,
            cores: None,
            down_bits: 100_000_000,
            out: "out/rig-policies".into(),
            edgecut: None,
        };
        let mut rest = args.iter();
        while let Some(&arg) = rest.next() {
            if arg == "--all" {
                options.traces = Traces::All;
                continue;
            }
            let text = rest.next().copied().ok_or_else(|| format!("{arg} needs a value"))?;
            let within = |least: f64, most: f64| {
                let number = text.parse().ok().filter(|x| (least..=most).contains(x));
                number.ok_or_else(|| format!("{arg}: '{text}' is not from {least} to {most}"))
            };
            let time = |unit: f64, least: f64, most: f64| {
                within(least, most).map(|number| Duration::from_secs_f64(number * unit))
            };
            match arg {
                "--data" => options.data = text.into(),
                "--model" => options.models = text.split(',').map(str::to_string).collect(),
                "--preprocess" => options.preprocess = text.into(),
                "--bits" => options.bits = within(2.0, 8.0)? as u8,
                "--server" => options.server = Some(text.into()),
                "--folder" => options.folder = Some(text.into()),
                "--traces" => options.traces = traces(text)?,
                "--from" => options.from = time(1.0, 0.0, 1e6)?,
                "--seconds" => options.seconds = time(1.0, 1.0, 1e5)?,
                "--period" => options.period = Some(time(1e-3, 1.0, 1e5)?),
                "--deadline" => options.deadline = Some(time(1e-3, 1.0, 1e5)?),
                "--quota" => options.quota = within(0.05, 1.0)?,
                "--cores" => options.cores = Some(cores(text)?),
                "--down" => options.down_bits = (within(0.01, 1e4)? * 1e6) as u64,
                "--out" => options.out = text.into(),
                "--edgecut" => options.edgecut = Some(text.into()),
                _ => return Err(format!("no option is called '{arg}'")),
            }
        }
        match options.data.is_dir() {
            true => Ok(options),
            false => Err("--data: name a folder of pictures".into()),
        }
    }
}

fn traces(text: &str) -> Result<Traces, String> {
    match text.parse() {
        Ok(0) => Err("--traces: at least one".into()),
        Ok(count) => Ok(Traces::Some(count)),
        Err(_) => Ok(Traces::Named(text.split(',').map(str::to_string).collect())),
    }
}

fn cores(text: &str) -> Result<[usize; 2], String> {
    let parts: Option<Vec<usize>> = text.split(',').map(|part| part.parse().ok()).collect();
    let parts = parts.and_then(|parts| parts.try_into().ok());
    parts.ok_or_else(|| format!("--cores: '{text}' is not E,C, numbers of two processors"))
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

    #[test]
    fn options_are_read_or_refused() {
        let parse = |extra: &[&'static str]| Options::parse(&[&["--data", "."], extra].concat());
        let options = parse(&["--traces", "bus,tram", "--cores", "0,1", "--quota", "0.1"]).unwrap();
        assert_eq!(options.traces, Traces::Named(vec!["bus".into(), "tram".into()]));
        assert_eq!((options.cores, options.quota), (Some([0, 1]), 0.1));
        for wrong in [["--quota", "0"], ["--traces", "0"], ["--cores", "1"], ["--what", "1"]] {
            assert!(parse(&wrong).is_err(), "{wrong:?}");
        }
        assert!(Options::parse(&[]).is_err() && parse(&["--seconds"]).is_err());
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
