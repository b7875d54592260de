//! edgecut's quantiser against others: the same float models, the same pictures to calibrate with,
//! one judge.
//!
//! Every quantiser makes an ONNX file of the float model. ONNX Runtime runs all of them on other
//! pictures, and says how often the first class is the float model's and how far the outputs are
//! from its outputs; edgecut's runtime runs edgecut's file beside. Losing rows stay in the table.

mod contender;
mod options;
mod own;
mod score;
mod subject;
mod table;

use std::path::Path;
use std::process::Command;

use contender::Tools;
pub use options::Options;
use score::Row;
use subject::Subject;

/// Runs the task.
pub fn run(root: &Path, options: &Options) -> Result<(), String> {
    let rows = match options.tables.is_empty() {
        true => duel(root, options)?,
        false => read(&options.tables)?,
    };
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&rows).map_err(|e| e.to_string())?),
        false => print!("{}", table::render(&rows)),
    }
    Ok(())
}

fn duel(root: &Path, options: &Options) -> Result<Vec<Row>, String> {
    let tools = Tools::find(root, options)?;
    let mut rows = vec![];
    for &subject in &options.subjects() {
        let mut of_model: Vec<Row> = vec![];
        for seed in 1..=options.seeds {
            let found = round(&tools, subject, seed, options);
            let found = found.map_err(|e| format!("{}: {e}", subject.name))?;
            match of_model.is_empty() {
                true => of_model = found,
                false => of_model.iter_mut().zip(found).for_each(|(all, one)| all.join(one)),
            }
        }
        rows.extend(of_model);
    }
    Ok(rows)
}

/// One model with one choice of pictures.
fn round(
    tools: &Tools,
    subject: &Subject,
    seed: u64,
    options: &Options,
) -> Result<Vec<Row>, String> {
    let files = subject.prepare(tools, seed, options.images)?;
    let mut rows = vec![];
    for &contender in options.contenders() {
        eprintln!("{}, pictures {seed}: {}", subject.name, contender.name());
        rows.extend(contender.rows(tools, subject, &files));
    }
    score::judge(tools, &files, &mut rows)?;
    Ok(rows)
}

/// The rows of earlier runs, one after the other; of two with the same key the later counts.
fn read(files: &[std::path::PathBuf]) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = vec![];
    for path in files {
        let place = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(|e| place(&e))?;
        let read: Vec<Row> = serde_json::from_str(&text).map_err(|e| place(&e))?;
        rows.retain(|old| !read.iter().any(|new| new.key() == old.key()));
        rows.extend(read);
    }
    Ok(rows)
}

/// Runs a program; its last words are the error.
fn finish(mut command: Command) -> Result<(), String> {
    let done = command.output();
    let done = done.map_err(|e| format!("{}: {e}", command.get_program().to_string_lossy()))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
    Err(last.trim().chars().take(200).collect())
}
