//! `edgecut search`: the networks that fit one task and one device.

use std::path::PathBuf;

use super::train::wrong;
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, SearchSettings, TrainSettings};
use crate::work::data;
use crate::work::search::{Meeting, Task, clear, explain};
use crate::{files, report};

/// Options of `search`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut search --data ./flowers --resolution 64 --latency 2ms --out out/search
  edgecut search --data fashion-mnist --space my-space.toml --size 100KiB --trials 400 --out out/search
  edgecut search --data ./flowers --agent pass.json --latency 5ms --out out/search
  edgecut search --explain 137 --out out/search
  edgecut search --data ./flowers --out out/search --nats nats://me:secret@host:4222
  edgecut search --worker --nats nats://me:secret@host:4222     (as many as you like)

Networks of the space are measured on this machine, or on another one where `edgecut agent` runs and
wrote the pass; weights that all of them share are trained; the
search judges networks by these weights and knows from the measurements what each costs; the best of
the front are trained to the end, quantised, trained as integers and measured. --epochs and the
options beside it are those of the winners' training, and of the shared weights' but for its length.
The folder has report.html from the first minute on. The same command after an interruption (also
kill -9) goes on where it was, and with more --trials it searches on.")]
pub struct Args {
    /// Folder of the search
    #[arg(long, value_name = "DIR", required_unless_present = "worker")]
    out: Option<PathBuf>,
    /// Explain this network of a search instead: its blocks, where its time goes, what it comes from
    #[arg(long, value_name = "NETWORK")]
    explain: Option<usize>,
    /// Let workers judge the networks, any number on any machines that reach this NATS server with
    /// JetStream: nats://USER:PASSWORD@HOST:4222 or tls://. EDGECUT_NATS_CREDENTIALS and EDGECUT_NATS_CA
    /// may name a credentials file and certificates
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Name of the search on that server
    #[arg(long, value_name = "NAME", default_value = "search", requires = "nats")]
    name: String,
    /// Be a worker: judge networks for the search of that name until it is over
    #[arg(long, requires = "nats", conflicts_with_all = ["explain", "restart"])]
    worker: bool,
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
    let meeting = args.nats.clone().map(|url| Meeting { url, name: args.name.clone() });
    if let (true, Some(meeting)) = (args.worker, &meeting) {
        return meeting.work(global);
    }
    // The command line asks for both where they are needed.
    let missing = |option: &str| Failure::input(format!("{option} is missing"));
    let out = args.out.as_ref().ok_or_else(|| missing("--out"))?;
    if let Some(network) = args.explain {
        let explained = explain(out, network)?;
        return match global.json {
            true => files::print_json(&explained),
            false => {
                files::print(&explained.text());
                Ok(())
            }
        };
    }
    let source = args.data.as_ref().ok_or_else(|| missing("--data"))?;
    source.validate().map_err(wrong)?;
    args.search.validate().map_err(wrong)?;
    args.train.validate().map_err(wrong)?;
    if args.restart {
        clear(out)?;
        meeting.as_ref().map_or(Ok(()), Meeting::clear)?;
    }
    let data = data::open(source, None)?;
    let task = Task {
        global,
        settings: &args.search,
        training: &args.train,
        data: &data,
        pool: &global.pool(),
        folder: out.clone(),
        meeting,
    };
    let found = task.go()?;
    if global.json {
        return files::print_json(&found);
    }
    files::print(&report::search::summary(&found));
    files::print(&out.join("report.html").display().to_string());
    Ok(())
}
