//! How a command ends when it does not end well: what is wrong, what to do, and the exit code.
//!
//! Libraries return their own typed errors; here each becomes one line for a person (or one JSON
//! object for a program) and one of two codes, so that scripts can tell "your input is wrong"
//! from "everything ran, and the result is not good enough".

use std::fmt;
use std::path::Path;

use serde::Serialize;

/// Result of every command.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The work was done or interrupted, and its result is not what was asked for: exit code 1.
    NotMet,
    /// A file, option or recipe is wrong: exit code 2.
    BadInput,
}

/// A command's failure.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Decides the exit code.
    pub cause: Cause,
    /// What is wrong, naming file, field or node. One line.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Something the user gave is wrong.
    pub fn input(message: impl Into<String>) -> Failure {
        Failure { cause: Cause::BadInput, message: message.into(), hint: None }
    }

    /// The result is not what was asked for.
    pub fn not_met(message: impl Into<String>) -> Failure {
        Failure { cause: Cause::NotMet, message: message.into(), hint: None }
    }

    /// The operating system refused `path`.
    pub fn io(path: &Path, source: &std::io::Error) -> Failure {
        Failure::input(format!("{}: {source}", path.display()))
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the file that the failure is about in front, unless it is already named.
    pub fn at(mut self, path: &Path) -> Failure {
        let place = path.display().to_string();
        if !self.message.contains(&place) {
            self.message = format!("{place}: {}", self.message);
        }
        self
    }

    /// 1 for a result that is not good enough, 2 for wrong input.
    pub fn code(&self) -> u8 {
        match self.cause {
            Cause::NotMet => 1,
            Cause::BadInput => 2,
        }
    }

    /// Writes the failure to standard error: two lines of text, or one JSON object.
    pub fn print(&self, json: bool) {
        let message = one_line(&self.message);
        let hint = self.hint.as_deref().map(one_line);
        if json {
            #[derive(Serialize)]
            struct Body<'a> {
                error: &'a str,
                hint: Option<&'a str>,
                code: u8,
            }
            let body = Body { error: &message, hint: hint.as_deref(), code: self.code() };
            eprintln!("{}", serde_json::to_string(&body).unwrap_or(message.clone()));
            return;
        }
        eprintln!("error: {message}");
        if let Some(hint) = hint {
            eprintln!("hint: {hint}");
        }
    }
}

/// Control characters (a hostile file name may hold them) and line breaks become spaces.
fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<edgecut_graph::GraphError> for Failure {
    fn from(error: edgecut_graph::GraphError) -> Failure {
        Failure::input(error.to_string())
    }
}

impl From<edgecut_runtime::RuntimeError> for Failure {
    fn from(error: edgecut_runtime::RuntimeError) -> Failure {
        Failure::input(error.to_string())
    }
}

impl From<edgecut_collab::CollabError> for Failure {
    fn from(error: edgecut_collab::CollabError) -> Failure {
        Failure::input(error.to_string())
    }
}

impl From<edgecut_edge::EdgeError> for Failure {
    fn from(error: edgecut_edge::EdgeError) -> Failure {
        Failure::input(error.to_string())
    }
}

impl From<edgecut_compress::CompressError> for Failure {
    fn from(error: edgecut_compress::CompressError) -> Failure {
        match error {
            edgecut_compress::CompressError::Stopped => Failure::not_met(error.to_string()),
            error => Failure::input(error.to_string()),
        }
    }
}

impl From<edgecut_device::DeviceError> for Failure {
    fn from(error: edgecut_device::DeviceError) -> Failure {
        match error {
            edgecut_device::DeviceError::Stopped => Failure::not_met(error.to_string()),
            error => Failure::input(error.to_string()),
        }
    }
}

impl From<edgecut_zoo::ZooError> for Failure {
    fn from(error: edgecut_zoo::ZooError) -> Failure {
        Failure::input(error.to_string())
    }
}

impl From<edgecut_zoo::state_dict::StateDictError> for Failure {
    fn from(error: edgecut_zoo::state_dict::StateDictError) -> Failure {
        Failure::input(error.to_string())
    }
}

impl From<edgecut_train::data::DataError> for Failure {
    fn from(error: edgecut_train::data::DataError) -> Failure {
        match error {
            edgecut_train::data::DataError::Missing { what, hint } => {
                Failure::input(format!("{what} not found")).hint(hint)
            }
            other => Failure::input(other.to_string()),
        }
    }
}

impl From<edgecut_train::TrainError> for Failure {
    fn from(error: edgecut_train::TrainError) -> Failure {
        use edgecut_train::TrainError;
        match error {
            TrainError::Data(error) => error.into(),
            TrainError::Checkpoint { .. } => {
                Failure::input(error.to_string()).hint("--restart begins anew and replaces it")
            }
            TrainError::Diverged { .. } => Failure::not_met(error.to_string()),
            other => Failure::input(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc"), "a b [2Jc");
    }

    #[test]
    fn a_path_is_named_once() {
        let path = Path::new("m.onnx");
        assert_eq!(Failure::input("broken").at(path).message, "m.onnx: broken");
        assert_eq!(Failure::input("m.onnx: broken").at(path).message, "m.onnx: broken");
    }
}
