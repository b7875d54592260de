//! `edgecut search`: the networks that fit one task and one device.

use std::path::PathBuf;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, SearchSettings, TrainSettings};
use crate::work::data;
use crate::work::search::{Task, clear, explain};
use crate::{files, report};

/// Options of `search`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut search --data ./flowers --resolution 64 --latency 2ms --out out/search
  edgecut search --data fashion-mnist --space my-space.toml --size 100KiB --trials 400 --out out/search
  edgecut search --explain 137 --out out/search

Networks of the space are measured on this machine; weights that all of them share are trained; the
search judges networks by these weights and knows from the measurements what each costs; the best of
the front are trained to the end, quantised, trained as integers and measured. --epochs and the
options beside it are those of the winners' training, and of the shared weights' but for its length.
The folder has report.html from the first minute on. The same command after an interruption (also
kill -9) goes on where it was, and with more --trials it searches on.")]
pub struct Args {
    /// Folder of the search
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Explain this network of a search instead: its blocks, where its time goes, what it comes from
    #[arg(long, value_name = "NETWORK")]
    explain: Option<usize>,
    /// Begin anew even if there is a search in the folder
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    data: Option<DataSettings>,
    #[command(flatten)]
    search: SearchSettings,
    #[command(flatten)]
    train: TrainSettings,
}

/// Searches, or explains.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    if let Some(network) = args.explain {
        let explained = explain(&args.out, network)?;
        return match global.json {
            true => files::print_json(&explained),
            false => {
                files::print(&explained.text());
                Ok(())
            }
        };
    }
    // The command line asks for it where nothing is to be explained.
    let source = args.data.as_ref().ok_or_else(|| Failure::input("--data is missing"))?;
    let wrong = |w: crate::settings::Wrong| {
        Failure::input(format!("--{} {}", w.field.replace('_', "-"), w.problem))
    };
    source.validate().map_err(wrong)?;
    args.search.validate().map_err(wrong)?;
    args.train.validate().map_err(wrong)?;
    if args.restart {
        clear(&args.out)?;
    }
    let data = data::open(source, None)?;
    let task = Task {
        global,
        settings: &args.search,
        training: &args.train,
        data: &data,
        pool: &global.pool(),
        folder: args.out.clone(),
    };
    let found = task.go()?;
    if global.json {
        return files::print_json(&found);
    }
    files::print(&report::search::summary(&found));
    files::print(&args.out.join("report.html").display().to_string());
    Ok(())
}
