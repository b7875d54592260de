//! The command line of `cargo xtask duel-quantize`.

use std::path::PathBuf;

use crate::cli::above_0;

use super::contender::Contender;
use super::subject::{SUBJECTS, Subject};

/// Quantise the same models with edgecut and with others, and compare
///
/// Quantises the same float models with edgecut and with others, on the same calibration pictures, and
/// prints how often the int8 models agree with the float model on other pictures, with the signal to
/// noise ratio of their outputs. What a quantiser needs and lacks stands in its row.
///
/// Models and pictures are those of EDGECUT_DATA; mobilenet-v3-cifar is trained first, some ten minutes.
/// Python is EDGECUT_PYTHON with the packages of requirements-bench.txt; neural-compressor and aimet
/// need packages that these exclude, in EDGECUT_PYTHON_NEURAL_COMPRESSOR and EDGECUT_PYTHON_AIMET.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask duel-quantize --models resnet20,mobilenet-v2
  cargo xtask duel-quantize --json > rows.json && cargo xtask duel-quantize --table rows.json")]
pub struct Options {
    /// mobilenet-v1-0.25, mobilenet-v2, efficientnet-lite0, squeezenet, resnet20, resnet8, yolo-fastestv2,
    /// mobilenet-v3-cifar, fashion; all without
    #[arg(long = "models", value_name = "A,B", value_delimiter = ',', value_parser = subject)]
    subjects: Vec<&'static Subject>,
    /// edgecut, ort-minmax, ort-percentile, ort-entropy, nncf-fast, nncf-full, neural-compressor, aimet,
    /// aimet-cle; all without
    #[arg(long = "quantisers", value_name = "A,B", value_delimiter = ',', value_parser = contender)]
    contenders: Vec<Contender>,
    /// Pictures to calibrate with
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = above_0::<usize>)]
    pub images: usize,
    /// Choices of pictures, each other ones for calibration
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = above_0::<u64>)]
    pub seeds: u64,
    /// An `edgecut` that is built already
    #[arg(long, value_name = "FILE")]
    pub edgecut: Option<PathBuf>,
    /// Print the rows as JSON
    #[arg(long)]
    pub json: bool,
    /// Measure nothing, print the table of earlier rows
    #[arg(long = "table", value_name = "FILE", num_args = 1..)]
    pub tables: Vec<PathBuf>,
}

impl Options {
    /// The models.
    pub fn subjects(&self) -> Vec<&'static Subject> {
        if self.subjects.is_empty() { SUBJECTS.iter().collect() } else { self.subjects.clone() }
    }

    /// The quantisers.
    pub fn contenders(&self) -> &[Contender] {
        if self.contenders.is_empty() { &Contender::ALL } else { &self.contenders }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parsed;

    #[test]
    fn names_are_known_or_listed() {
        let given = ["--models", "resnet8", "--quantisers", "edgecut,aimet"];
        let options: Options = parsed(&given).unwrap();
        assert_eq!((options.subjects().len(), options.contenders().len()), (1, 2));
        let error = parsed::<Options>(&["--models", "resnet9"]).err().unwrap();
        assert!(error.to_string().contains("resnet8"), "{error}");
        assert!(parsed::<Options>(&["--seeds", "0"]).is_err());
        let tables: Options = parsed(&["--table", "a", "b", "--json"]).unwrap();
        assert_eq!((tables.tables.len(), tables.json), (2, true));
        assert_eq!(tables.subjects().len(), SUBJECTS.len());
    }
}
