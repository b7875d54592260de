//! The command line of `cargo xtask bench-peers`.

use std::path::PathBuf;
use std::str::FromStr;

use super::Precision;
use super::runtime::Runtime;

/// Networks that are measured where none are named.
const MODELS: [&str; 9] = [
    "mobilenet-v1",
    "mobilenet-v2",
    "mobilenet-v3-large",
    "mobilenet-v3-small",
    "shufflenet-v1-g3",
    "shufflenet-v2-1.0",
    "squeezenet-1.1",
    "efficientnet-lite0",
    "resnet-18",
];

pub const HELP: &str = "\
Usage: cargo xtask bench-peers [OPTIONS]

Measures edgecut and other runtimes on the same models and inputs, interleaved in one run, and
prints a table in markdown: minima and ratios, then everything that was measured. What a runtime
needs and lacks stands in its row.

Options:
  --models A,B        architectures of the zoo, or ONNX files (FILE or FILE@1x3x320x320)
                      (default: eight light networks and resnet-18)
  --precision A,B     f32, bf16, int8 (default f32)
  --threads N,M       (default 1)
  --rounds N          bursts of each runtime (default 20)
  --runtimes A,B      edgecut, edgecut-packed (the same from an .ecut file), onnxruntime, openvino,
                      litert, ncnn, mnn, tract, rten; beside int8 also edgecut-float and
                      openvino-qdq (default all)
  --out FILE          also write the table there
  --json              print the list of rows instead
  --table FILE...     measure nothing, print the table of earlier lists of rows
  --prepare           build, write and convert what is needed, measure nothing

With int8 every runtime has the model of its own quantiser, all made of the same float model and
noise: OpenVINO NNCF's, as openvino-qdq and tract ONNX Runtime's, rten its dynamic form. ncnn's needs
ncnn2table and ncnn2int8, built of its sources, in the folder NCNN_TOOLS.

Python is EDGECUT_PYTHON (default python3) with the packages of requirements-bench.txt.
Exit code 2: an option is wrong.

Examples:
  cargo xtask bench-peers --models mobilenet-v2 --threads 1,2
  cargo xtask bench-peers --precision int8 --threads 1,2
  cargo xtask bench-peers --precision bf16 --runtimes edgecut,openvino --out peers.md
  cargo xtask bench-peers --json > rows.json && cargo xtask bench-peers --table rows.json
";

/// What is measured and where it goes.
#[derive(Debug)]
pub struct Options {
    pub models: Vec<String>,
    pub precisions: Vec<Precision>,
    pub threads: Vec<usize>,
    pub rounds: usize,
    pub runtimes: Vec<Runtime>,
    pub out: Option<PathBuf>,
    pub json: bool,
    pub tables: Vec<PathBuf>,
    pub prepare: bool,
}

impl Options {
    /// The error says which option is wrong and what it takes.
    pub fn parse(args: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            models: MODELS.map(String::from).to_vec(),
            precisions: vec![Precision::F32],
            threads: vec![1],
            rounds: 20,
            runtimes: Runtime::ALL.to_vec(),
            out: None,
            json: false,
            tables: vec![],
            prepare: false,
        };
        let mut rest = args.iter().copied().peekable();
        while let Some(arg) = rest.next() {
            let mut value = || {
                let value = rest.next_if(|v| !v.starts_with("--"));
                value.ok_or_else(|| format!("{arg} needs a value"))
            };
            match arg {
                "--models" => options.models = value()?.split(',').map(String::from).collect(),
                "--precision" => options.precisions = list(arg, value()?)?,
                "--threads" => options.threads = list(arg, value()?)?,
                "--rounds" => options.rounds = number(value()?).map_err(|e| at(arg, &e))?,
                "--runtimes" => options.runtimes = list(arg, value()?)?,
                "--out" => options.out = Some(value()?.into()),
                "--json" => options.json = true,
                "--prepare" => options.prepare = true,
                "--table" => {
                    options.tables.push(value()?.into());
                    while let Some(path) = rest.next_if(|v| !v.starts_with("--")) {
                        options.tables.push(path.into());
                    }
                }
                other => return Err(format!("unknown option '{other}'")),
            }
        }
        if options.threads.contains(&0) || options.rounds == 0 {
            return Err("--threads and --rounds need numbers from 1".into());
        }
        Ok(options)
    }
}

fn at(option: &str, problem: &str) -> String {
    format!("{option}: {problem}")
}

fn list<T: FromStr<Err = E>, E: ToString>(option: &str, text: &str) -> Result<Vec<T>, String> {
    text.split(',').map(|item| item.parse().map_err(|e: E| at(option, &e.to_string()))).collect()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Precision, String> {
        let known = || Precision::ALL.map(Precision::name).join(", ");
        let found = Precision::ALL.into_iter().find(|p| p.name() == text);
        found.ok_or_else(|| format!("no precision is called '{text}'; there are {}", known()))
    }
}

impl FromStr for Runtime {
    type Err = String;

    fn from_str(text: &str) -> Result<Runtime, String> {
        let known = || Runtime::ALL.map(Runtime::name).join(", ");
        let found = Runtime::ALL.into_iter().find(|r| r.name() == text);
        found.ok_or_else(|| format!("no runtime is called '{text}'; there are {}", known()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_mistakes_named() {
        let options = Options::parse(&["--threads", "1,2", "--runtimes", "tract,edgecut"]).unwrap();
        assert_eq!(options.threads, [1, 2]);
        assert_eq!(options.runtimes, [Runtime::Tract, Runtime::Edgecut]);
        assert_eq!(options.models.len(), 9);
        let options = Options::parse(&["--table", "a", "b", "--json"]).unwrap();
        assert_eq!((options.tables.len(), options.json), (2, true));
        for (args, names) in [
            (&["--threads", "0"][..], "--threads"),
            (&["--threads", "--json"], "--threads needs a value"),
            (&["--runtimes", "torch"], "torch"),
            (&["--precision", "f16"], "f16"),
            (&["--rounds", "many"], "many"),
            (&["extra"], "extra"),
        ] {
            assert!(Options::parse(args).unwrap_err().contains(names), "{args:?}");
        }
    }
}
