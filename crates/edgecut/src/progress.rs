//! Progress on standard error: bars for a person at a terminal, plain lines for a log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Global;

/// A line in a log at most this often.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Silent,
    Lines,
    Bars,
}

fn mode(global: &Global) -> Mode {
    match (global.quiet, std::io::stderr().is_terminal()) {
        (true, _) => Mode::Silent,
        (false, true) => Mode::Bars,
        (false, false) => Mode::Lines,
    }
}

/// Says what happens, unless `--quiet`.
pub fn say(global: &Global, text: &str) {
    if !global.quiet {
        eprintln!("{text}");
    }
}

/// Says a detail, with `--verbose` only.
pub fn detail(global: &Global, text: &str) {
    if global.verbose > 0 && !global.quiet {
        eprintln!("{text}");
    }
}

/// Progress of counted work with a changing message.
pub struct Counter {
    mode: Mode,
    bar: ProgressBar,
    name: String,
    total: u64,
    logged: Instant,
}

impl Counter {
    /// `total` units of work called `name`.
    pub fn new(global: &Global, name: &str, total: u64) -> Counter {
        let mode = mode(global);
        let bar = match mode {
            Mode::Bars => {
                ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8))
            }
            _ => ProgressBar::hidden(),
        };
        let style = "{prefix:>14.bold} {bar:20.cyan/dim} {percent:>3} % {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style.progress_chars("━━╌"));
        }
        bar.set_prefix(name.to_string());
        Counter { mode, bar, name: name.into(), total, logged: Instant::now() }
    }

    /// `done` units are done; `message` says how it goes.
    pub fn set(&mut self, done: u64, message: impl FnOnce() -> String) {
        match self.mode {
            Mode::Silent => {}
            Mode::Bars => {
                self.bar.set_position(done);
                self.bar.set_message(message());
            }
            Mode::Lines if self.logged.elapsed() >= LOG_EVERY => {
                self.logged = Instant::now();
                eprintln!("{}: {done}/{} {}", self.name, self.total, message());
            }
            Mode::Lines => {}
        }
    }

    /// As [`Counter::set`], with more lines below the bar where there is one.
    pub fn set_with(
        &mut self,
        done: u64,
        message: impl FnOnce() -> String,
        below: impl FnOnce() -> String,
    ) {
        let bars = self.mode == Mode::Bars;
        self.set(done, || if bars { message() + &below() } else { message() });
    }

    /// Writes a line above the bar.
    pub fn line(&mut self, text: &str) {
        match self.mode {
            Mode::Silent => {}
            Mode::Bars => self.bar.suspend(|| eprintln!("{text}")),
            Mode::Lines => {
                self.logged = Instant::now();
                eprintln!("{text}");
            }
        }
    }

    /// Removes the bar.
    pub fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Progress of downloads, one file after the other.
pub struct Download {
    global: Global,
    current: Option<(String, Counter)>,
}

impl Download {
    /// Nothing yet.
    pub fn new(global: &Global) -> Download {
        Download { global: global.clone(), current: None }
    }

    /// `done` of `total` bytes of `file` are here.
    pub fn update(&mut self, file: &str, done: u64, total: u64) {
        if self.current.as_ref().is_none_or(|(name, _)| name != file) {
            say(&self.global, &format!("fetching {file}, {}", crate::term::bytes(total)));
            self.current = Some((file.into(), Counter::new(&self.global, "fetch", total / 1024)));
        }
        if let Some((_, bar)) = &mut self.current {
            bar.set(done / 1024, || "KiB".into());
        }
    }

    /// Removes the bar.
    pub fn finish(&mut self) {
        self.current = None;
    }
}
