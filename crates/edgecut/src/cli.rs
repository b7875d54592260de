//! The command line: global options and the list of verbs. Options of a verb stand in its file.

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{
    agent, bench, bottleneck, cascade, convert, data, deploy, device, distill, edge, eval, exits,
    inspect, new, prune, quantize, run, search, serve, split, train, verify, zoo,
};

/// Takes deep models to edge devices: from data to a small, fast, checked model.
#[derive(Parser)]
#[command(name = "edgecut", version, after_help = EXAMPLES, propagate_version = true)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  edgecut deploy recipes/quickstart.toml --out out/quickstart
  edgecut inspect model.onnx
  edgecut bench int8.onnx --against float.onnx

Exit codes: 0 done, 1 done but not what was asked for (or interrupted), 2 wrong input.";

/// Where help lists these options.
const HEADING: &str = "Options of every verb";

/// Options of every verb.
#[derive(Args, Clone, Debug)]
pub struct Global {
    /// Print one JSON document on standard output; progress stays on standard error
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// Threads to compute with; results do not depend on it [default: all processors]
    #[arg(long, global = true, help_heading = HEADING, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// No progress
    #[arg(short, long, global = true, help_heading = HEADING)]
    pub quiet: bool,
    /// More details; repeat for still more
    #[arg(short, long, global = true, help_heading = HEADING, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Global {
    /// Number of threads to compute with.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(crate::host::cores, usize::from)
    }

    /// A pool of that many threads.
    pub fn pool(&self) -> std::sync::Arc<edgecut_kernels::Pool> {
        std::sync::Arc::new(edgecut_kernels::Pool::new(self.threads()))
    }
}

impl Cli {
    /// The command line of this process.
    ///
    /// # Errors
    /// What clap says of a wrong one; help and version are errors to it as well.
    pub fn parse() -> std::result::Result<Cli, clap::Error> {
        Cli::from_arg_matches(&command().try_get_matches()?)
    }
}

/// All verbs, with what depends on how they share options.
fn command() -> clap::Command {
    // A search needs data; to explain one, or to work for one, does not.
    Cli::command().mut_subcommand("search", |search| {
        search.mut_arg("source", |data| {
            data.required(false).required_unless_present_any(["explain", "worker"])
        })
    })
}

/// What to do.
#[derive(Subcommand)]
pub enum Verb {
    /// Write a commented recipe to begin with
    New(new::Args),
    /// Show what a model holds: operators, shapes, parameters, multiply-adds, memory
    Inspect(inspect::Args),
    /// Convert between ONNX and TFLite, fix shapes, canonicalise
    Convert(convert::Args),
    /// List the architectures; build one, with PyTorch weights if wanted
    Zoo(zoo::Args),
    /// List, check and fetch data sets
    Data(data::Args),
    /// Train a network and export it as ONNX
    Train(train::Args),
    /// Train a small network to answer as larger ones do
    Distill(distill::Args),
    /// Remove channels until a model is as small or as fast as it should be
    Prune(prune::Args),
    /// Turn a float model into an int8 one
    Quantize(quantize::Args),
    /// Prove that an int8 model cannot saturate on CPUs that add products in 16 bits
    Verify(verify::Args),
    /// Measure the accuracy of a model
    Eval(eval::Args),
    /// Run a model on pictures or arrays
    Run(run::Args),
    /// Measure latency and memory of a model
    Bench(bench::Args),
    /// Measure what a machine can do; predict models on a device that is not here
    Device(device::Args),
    /// Cut a model between a device and a server, where that is best for a link
    Split(split::Args),
    /// Answer requests on a device by their deadlines, with servers where that is faster
    Edge(edge::Args),
    /// Train a few bytes that cross instead of a picture, and the halves that make and read them
    Bottleneck(bottleneck::Args),
    /// Give a network answers on its way
    Exits(exits::Args),
    /// Certify when a small model's answers will do, and when a larger one is to be asked
    Cascade(cascade::Args),
    /// Serve models to other machines, by the Open Inference Protocol (REST and gRPC)
    Serve(serve::Args),
    /// Let other machines measure models on this one
    Agent(agent::Args),
    /// Search for the networks that fit one task and one device
    Search(search::Args),
    /// The whole way: data, training, float ONNX, int8 ONNX, checks, report
    Deploy(deploy::Args),
}

impl Verb {
    /// Runs the verb.
    pub fn run(&self, global: &Global) -> crate::errors::Result<()> {
        match self {
            Verb::New(args) => new::run(args, global),
            Verb::Inspect(args) => inspect::run(args, global),
            Verb::Convert(args) => convert::run(args, global),
            Verb::Zoo(args) => zoo::run(args, global),
            Verb::Data(args) => data::run(args, global),
            Verb::Train(args) => train::run(args, global),
            Verb::Distill(args) => distill::run(args, global),
            Verb::Prune(args) => prune::run(args, global),
            Verb::Quantize(args) => quantize::run(args, global),
            Verb::Verify(args) => verify::run(args, global),
            Verb::Eval(args) => eval::run(args, global),
            Verb::Run(args) => run::run(args, global),
            Verb::Bench(args) => bench::run(args, global),
            Verb::Device(args) => device::run(args, global),
            Verb::Split(args) => split::run(args, global),
            Verb::Edge(args) => edge::run(args, global),
            Verb::Bottleneck(args) => bottleneck::run(args, global),
            Verb::Exits(args) => exits::run(args, global),
            Verb::Cascade(args) => cascade::run(args, global),
            Verb::Serve(args) => serve::run(args, global),
            Verb::Agent(args) => agent::run(args, global),
            Verb::Search(args) => search::run(args, global),
            Verb::Deploy(args) => deploy::run(args, global),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        for verb in command().get_subcommands() {
            let help = verb.get_after_help().map(|h| h.to_string()).unwrap_or_default();
            assert!(help.contains("Examples:"), "{} has no examples", verb.get_name());
        }
    }
}
