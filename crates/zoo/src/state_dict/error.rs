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
    #[error("the weights do not fit {graph}: {problems}")]
    Mismatch {
        /// Name of the graph.
        graph: String,
        /// The first few tensors that are missing or differ, and how many more there are.
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
    pub fn in_file(self, file: &str) -> StateDictError {
        let file = file.to_string();
        match self {
            Fault::Malformed(problem) => StateDictError::Malformed { file, problem },
            Fault::Refused(global) => StateDictError::Refused { file, global },
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
    let mut out: String = text.chars().take(MOST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}
