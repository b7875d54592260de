//! Why weights could not be read or assigned.

/// An error of reading or assigning a state_dict.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateDictError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// Path as the caller gave it.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not what it should be, or holds something that is not supported.
    #[error("{file}: {problem}")]
    Malformed {
        /// Path or name as the caller gave it.
        file: String,
        /// What is wrong and, where known, what to do.
        problem: String,
    },
    /// The pickle names something that no state_dict needs. Nothing of it was executed.
    #[error(
        "{file}: refers to {global}: state_dicts never do (nothing was executed); save \
         model.state_dict() instead of the model"
    )]
    Refused {
        /// Path or name as the caller gave it.
        file: String,
        /// The class or function, as `module.name`.
        global: String,
    },
    /// Names or shapes of the tensors are not those of the graph. Nothing was assigned.
    #[error("{file} does not fit {graph}: {problems}")]
    Mismatch {
        /// Path or name as the caller gave it.
        file: String,
        /// Name of the graph.
        graph: String,
        /// The first few tensors of each kind of problem, and how many more there are.
        problems: String,
    },
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, StateDictError>;

/// An error before the file's name is known.
#[derive(Debug)]
pub(super) enum Fault {
    Malformed(String),
    Refused(String),
}

impl Fault {
    /// With the name of the tensor that it is about.
    pub fn of_tensor(self, name: &str) -> Fault {
        match self {
            Fault::Malformed(problem) => {
                Fault::Malformed(format!("tensor '{}' {problem}", shown(name)))
            }
            refused => refused,
        }
    }

    pub fn in_file(self, file: &str) -> StateDictError {
        let file = file.to_string();
        match self {
            Fault::Malformed(problem) => StateDictError::Malformed { file, problem },
            Fault::Refused(global) => StateDictError::Refused { file, global },
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Fault::Malformed(text) | Fault::Refused(text) => f.write_str(text),
        }
    }
}

/// A [`Fault::Malformed`] as an error.
pub(super) fn malformed<T>(problem: impl Into<String>) -> std::result::Result<T, Fault> {
    Err(Fault::Malformed(problem.into()))
}

/// `text` as it may stand in a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut out: String =
        text.chars().take(MOST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}
