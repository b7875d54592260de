//! The command line of `cargo xtask bench-peers`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::cli::above_0;

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

/// Measure edgecut and other runtimes on the same models and inputs
///
/// Interleaved in one run; prints a table in markdown: minima and ratios, then everything that was measured.
/// What a runtime needs and lacks stands in its row.
///
/// With int8 every runtime has the model of its own quantiser, all made of the same float model and
/// noise: OpenVINO NNCF's, as openvino-qdq and tract ONNX Runtime's, rten its dynamic form. ncnn's needs
/// ncnn2table and ncnn2int8, built of its sources, in the folder NCNN_TOOLS.
///
/// Python is EDGECUT_PYTHON (default python3) with the packages of requirements-bench.txt.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  cargo xtask bench-peers --models mobilenet-v2 --threads 1,2
  cargo xtask bench-peers --precision int8 --threads 1,2
  cargo xtask bench-peers --precision bf16 --runtimes edgecut,openvino --out peers.md
  cargo xtask bench-peers --json > rows.json && cargo xtask bench-peers --table rows.json")]
pub struct Options {
    /// Architectures of the zoo, or ONNX files (FILE or FILE@1x3x320x320)
    #[arg(long, value_name = "A,B", value_delimiter = ',', default_values = MODELS)]
    pub models: Vec<String>,
    /// f32, bf16, int8
    #[arg(long = "precision", value_name = "A,B", value_delimiter = ',', default_value = "f32")]
    pub precisions: Vec<Precision>,
    #[arg(long, value_name = "N,M", value_delimiter = ',', default_value = "1",
        value_parser = above_0::<usize>)]
    pub threads: Vec<usize>,
    /// Bursts of each runtime
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = above_0::<usize>)]
    pub rounds: usize,
    /// edgecut, edgecut-packed (the same from an .ecut file), onnxruntime, openvino, litert, ncnn, mnn,
    /// tract, rten; beside int8 also edgecut-float and openvino-qdq; all without
    #[arg(long = "runtimes", value_name = "A,B", value_delimiter = ',')]
    named: Vec<Runtime>,
    /// Also write the table there
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print the list of rows instead
    #[arg(long)]
    pub json: bool,
    /// Measure nothing, print the table of earlier lists of rows
    #[arg(long = "table", value_name = "FILE", num_args = 1..)]
    pub tables: Vec<PathBuf>,
    /// Build, write and convert what is needed, measure nothing
    #[arg(long)]
    pub prepare: bool,
}

impl Options {
    /// What is measured.
    pub fn runtimes(&self) -> &[Runtime] {
        if self.named.is_empty() { &Runtime::ALL } else { &self.named }
    }
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
    use crate::cli::parsed;

    #[test]
    fn options_are_read_and_mistakes_named() {
        let given = ["--threads", "1,2", "--runtimes", "tract,edgecut"];
        let options: Options = parsed(&given).unwrap();
        assert_eq!(options.threads, [1, 2]);
        assert_eq!(options.runtimes(), [Runtime::Tract, Runtime::Edgecut]);
        assert_eq!(options.models.len(), 9);
        let options: Options = parsed(&["--table", "a", "b", "--json"]).unwrap();
        assert_eq!((options.tables.len(), options.json), (2, true));
        for (args, names) in [
            (&["--threads", "0"][..], "--threads"),
            (&["--threads", "--json"], "--threads"),
            (&["--runtimes", "torch"], "torch"),
            (&["--precision", "f16"], "f16"),
            (&["--rounds", "many"], "many"),
            (&["extra"], "extra"),
        ] {
            let error = parsed::<Options>(args).unwrap_err().to_string();
            assert!(error.contains(names), "{args:?}: {error}");
        }
    }
}
