//! The command line of `cargo xtask duel-quantize`.

use std::path::PathBuf;

use super::contender::Contender;
use super::subject::{SUBJECTS, Subject};

pub const HELP: &str = "\
Usage: cargo xtask duel-quantize [OPTIONS]

Quantises the same float models with edgecut and with others, on the same calibration pictures, and
prints how often the int8 models agree with the float model on other pictures, with the signal to
noise ratio of their outputs. What a quantiser needs and lacks stands in its row.

Options:
  --models A,B        (default all): mobilenet-v1-0.25, mobilenet-v2, efficientnet-lite0, squeezenet,
                      resnet20, resnet8, yolo-fastestv2, mobilenet-v3-cifar, fashion
  --quantisers A,B    edgecut, ort-minmax, ort-percentile, ort-entropy, nncf-fast, nncf-full,
                      neural-compressor, aimet, aimet-cle (default all)
  --images N          pictures to calibrate with (default 300)
  --seeds N           choices of pictures, each other ones for calibration (default 1)
  --edgecut FILE      the program (default: a release build of this workspace)
  --json              print the rows as JSON
  --table FILE...     measure nothing, print the table of earlier rows

Models and pictures are those of EDGECUT_DATA; mobilenet-v3-cifar is trained first, some ten minutes.
Python is EDGECUT_PYTHON with the packages of requirements-bench.txt; neural-compressor and aimet
need packages that these exclude, in EDGECUT_PYTHON_NEURAL_COMPRESSOR and EDGECUT_PYTHON_AIMET.
Exit code 2: an option is wrong.

Examples:
  cargo xtask duel-quantize --models resnet20,mobilenet-v2
  cargo xtask duel-quantize --json > rows.json && cargo xtask duel-quantize --table rows.json
";

/// What is measured.
pub struct Options {
    pub subjects: Vec<&'static Subject>,
    pub contenders: Vec<Contender>,
    pub images: usize,
    pub seeds: u64,
    pub edgecut: Option<PathBuf>,
    pub json: bool,
    pub tables: Vec<PathBuf>,
}

impl Options {
    /// The error says which option is wrong and what it takes.
    pub fn parse(args: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            subjects: SUBJECTS.iter().collect(),
            contenders: Contender::ALL.to_vec(),
            images: 300,
            seeds: 1,
            edgecut: None,
            json: false,
            tables: vec![],
        };
        let mut rest = args.iter().copied().peekable();
        while let Some(arg) = rest.next() {
            let mut value = || {
                let value = rest.next_if(|v| !v.starts_with("--"));
                value.ok_or_else(|| format!("{arg} needs a value"))
            };
            match arg {
                "--models" => options.subjects = all(value()?, subject)?,
                "--quantisers" => options.contenders = all(value()?, contender)?,
                "--images" => options.images = number(arg, value()?)? as usize,
                "--seeds" => options.seeds = number(arg, value()?)?,
                "--edgecut" => options.edgecut = Some(value()?.into()),
                "--json" => options.json = true,
                "--table" => {
                    options.tables.push(value()?.into());
                    while let Some(path) = rest.next_if(|v| !v.starts_with("--")) {
                        options.tables.push(path.into());
                    }
                }
                other => return Err(format!("unknown option '{other}'")),
            }
        }
        Ok(options)
    }
}

fn all<T>(text: &str, one: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(one).collect()
}

fn subject(name: &str) -> Result<&'static Subject, String> {
    let known: Vec<&str> = SUBJECTS.iter().map(|s| s.name).collect();
    let found = SUBJECTS.iter().find(|s| s.name == name);
    found.ok_or_else(|| format!("no model is called '{name}'; there are {}", known.join(", ")))
}

fn contender(name: &str) -> Result<Contender, String> {
    let known = || Contender::ALL.map(Contender::name).join(", ");
    let found = Contender::ALL.into_iter().find(|c| c.name() == name);
    found.ok_or_else(|| format!("no quantiser is called '{name}'; there are {}", known()))
}

fn number(option: &str, text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|&n| n > 0);
    number.ok_or_else(|| format!("{option}: '{text}' is no number from 1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_or_listed() {
        let options = Options::parse(&["--models", "resnet8", "--quantisers", "edgecut"]).unwrap();
        assert_eq!((options.subjects.len(), options.contenders.len()), (1, 1));
        let error = Options::parse(&["--models", "resnet9"]).err().unwrap();
        assert!(error.contains("resnet8"), "{error}");
        assert!(Options::parse(&["--seeds", "0"]).is_err());
    }
}
