//! `edgecut data`: what sets are known, whether their files are whole, and fetching them.

use std::path::PathBuf;

use clap::Subcommand;
use edgecut_train::data::Places;
use edgecut_train::data::registry::{self, FileStatus, KnownSet, State};
use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::{files, progress, term};

/// Options of `data`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut data list
  edgecut data check quickstart
  edgecut data fetch fashion-mnist")]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Known data sets, and which of them are here
    #[command(after_help = "Examples:\n  edgecut data list --json")]
    List,
    /// Compare the files of a set with their published SHA-256
    #[command(after_help = "Examples:\n  edgecut data check quickstart\n  edgecut data check")]
    Check {
        /// Name of the set; all that are here without one
        name: Option<String>,
    },
    /// Download a set; each file is checked before it gets its name
    #[command(
        after_help = "Examples:\n  edgecut data fetch fashion-mnist\n  edgecut data fetch fashion-mnist --into ./data/fashion-mnist"
    )]
    Fetch {
        /// Name of the set
        name: String,
        /// Folder to put it into [default: the cache, where sets are looked for by name]
        #[arg(long, value_name = "DIR")]
        into: Option<PathBuf>,
    },
}

/// One set in `list`.
#[derive(Serialize)]
struct Entry {
    name: &'static str,
    about: &'static str,
    license: &'static str,
    /// Where it was found; none if it is not here.
    folder: Option<PathBuf>,
    download_bytes: u64,
    hint: &'static str,
}

/// One file in `check`.
#[derive(Serialize)]
struct File {
    path: PathBuf,
    state: &'static str,
    problem: Option<String>,
}

/// Runs the action.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let places = Places::from_env();
    match &args.action {
        Action::List => list(&places, global),
        Action::Check { name } => check(name.as_deref(), &places, global),
        Action::Fetch { name, into } => fetch(name, into.clone(), &places, global),
    }
}

fn list(places: &Places, global: &Global) -> Result<()> {
    let entry = |set: &KnownSet| Entry {
        name: set.name,
        about: set.about,
        license: set.license,
        folder: places.find(set),
        download_bytes: set.files.iter().map(|f| f.download_bytes).sum(),
        hint: set.hint,
    };
    let entries: Vec<Entry> = registry::list().iter().map(entry).collect();
    if global.json {
        return files::print_json(&entries);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|e| {
            let place = e.folder.as_ref().map_or("not here".into(), |f| f.display().to_string());
            vec![e.name.into(), e.about.into(), term::bytes(e.download_bytes), place]
        })
        .collect();
    files::print(&term::table(&["name", "what", "size", "folder"], &[2], &rows));
    for e in entries.iter().filter(|e| e.folder.is_none()) {
        files::print(&format!("{}: {}", e.name, e.hint));
    }
    Ok(())
}

fn check(name: Option<&str>, places: &Places, global: &Global) -> Result<()> {
    let here =
        || registry::list().iter().filter(|s| places.find(s).is_some()).map(|s| s.name).collect();
    let names: Vec<&str> = name.map_or_else(here, |n| vec![n]);
    let mut statuses = Vec::new();
    for name in names {
        statuses.extend(registry::check(name, places)?);
    }
    show(&statuses, global)?;
    match statuses.iter().find(|s| s.state != State::Intact) {
        None => Ok(()),
        Some(bad) => {
            let what = if bad.state == State::Missing {
                "is missing"
            } else {
                "is not the published file"
            };
            let hint = format!("`edgecut data fetch {}` gets it again", name.unwrap_or("NAME"));
            Err(Failure::not_met(what).at(&bad.path).hint(hint))
        }
    }
}

fn show(statuses: &[FileStatus], global: &Global) -> Result<()> {
    let file = |s: &FileStatus| {
        let (state, problem) = match &s.state {
            State::Intact => ("intact", None),
            State::Missing => ("missing", None),
            State::Broken(problem) => ("broken", Some(problem.clone())),
        };
        File { path: s.path.clone(), state, problem }
    };
    let list: Vec<File> = statuses.iter().map(file).collect();
    if global.json {
        return files::print_json(&list);
    }
    let rows: Vec<Vec<String>> =
        list.iter().map(|f| vec![f.path.display().to_string(), f.state.into()]).collect();
    files::print(&term::table(&["file", "state"], &[], &rows));
    Ok(())
}

fn fetch(name: &str, into: Option<PathBuf>, places: &Places, global: &Global) -> Result<()> {
    let folder = into
        .or_else(|| places.fetch_folder(name))
        .ok_or_else(|| Failure::input("no cache folder is known").hint("give one: --into DIR"))?;
    let mut bar = progress::Download::new(global);
    let statuses = registry::fetch(name, &folder, &mut |p| bar.update(p.file, p.done, p.total))?;
    bar.finish();
    show(&statuses, global)
}
