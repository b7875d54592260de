//! Names of what a search has on the server.

use edgecut_search::{Result, SearchError};

/// Longest name of a search.
const LONGEST: usize = 64;

/// Names of streams and subjects of one search.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    search: String,
}

impl Names {
    /// # Errors
    /// Where `search` cannot be part of a subject.
    pub fn new(search: &str) -> Result<Names> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if search.is_empty() || search.len() > LONGEST || !search.chars().all(fits) {
            return Err(SearchError::Input(format!(
                "'{search}' is no name on a server: 1 to {LONGEST} letters, digits, - and _"
            )));
        }
        Ok(Names { search: search.into() })
    }

    pub fn search(&self) -> &str {
        &self.search
    }

    /// Stream of the journal.
    pub fn journal(&self) -> String {
        format!("edgecut_{}_journal", self.search)
    }

    /// Stream of the tasks that nobody has finished.
    pub fn tasks(&self) -> String {
        format!("edgecut_{}_tasks", self.search)
    }

    /// Stream of results.
    pub fn results(&self) -> String {
        format!("edgecut_{}_results", self.search)
    }

    /// Bucket of data.
    pub fn data(&self) -> String {
        format!("edgecut_{}_data", self.search)
    }

    /// Stream of samples that wait for whoever takes them.
    pub fn samples(&self) -> String {
        format!("edgecut_{}_samples", self.search)
    }

    /// Stream of samples that nobody takes.
    pub fn aside(&self) -> String {
        format!("edgecut_{}_aside", self.search)
    }

    /// Subject of samples.
    pub fn sample(&self) -> String {
        format!("edgecut.{}.samples.record", self.search)
    }

    /// Subject of samples that nobody takes.
    pub fn sample_aside(&self) -> String {
        format!("edgecut.{}.aside.record", self.search)
    }

    /// Subject of the journal's records.
    pub fn record(&self) -> String {
        format!("edgecut.{}.journal.record", self.search)
    }

    /// Subject of who coordinates, in the journal's stream.
    pub fn claim(&self) -> String {
        format!("edgecut.{}.journal.claim", self.search)
    }

    /// Where a coordinator that is alive answers.
    pub fn coordinator(&self) -> String {
        format!("edgecut.{}.coordinator", self.search)
    }

    /// Subject of a task of the search with this digest; `*` is all of them.
    pub fn task(&self, digest: &str, trial: impl std::fmt::Display) -> String {
        format!("edgecut.{}.task.{digest}.{trial}", self.search)
    }

    /// Subject of a result of the search with this digest; `*` is all of them.
    pub fn result(&self, digest: &str, trial: impl std::fmt::Display) -> String {
        format!("edgecut.{}.result.{digest}.{trial}", self.search)
    }

    /// Whether a task or result is of the search with this digest.
    pub fn is_of(subject: &str, digest: &str) -> bool {
        subject.split('.').nth(3) == Some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_tell_searches_of_one_name_apart() {
        let names = Names::new("a").unwrap();
        assert!(Names::is_of(&names.task("12ab", 7), "12ab"));
        assert!(!Names::is_of(&names.result("12ab", 7), "12ac"));
        assert!(!Names::is_of("edgecut", "12ab"));
    }

    #[test]
    fn names_fit_subjects_and_differ() {
        for name in ["", "a.b", "a b", "*", "é", &"a".repeat(65)] {
            assert!(Names::new(name).is_err(), "{name}");
        }
        let streams = |name: &str| {
            let names = Names::new(name).unwrap();
            let queue = [names.samples(), names.aside()];
            [queue, [names.journal(), names.tasks()], [names.results(), names.data()]].concat()
        };
        let all: std::collections::HashSet<String> =
            ["a", "a_tasks", "a_journal", "tasks"].iter().flat_map(|name| streams(name)).collect();
        assert_eq!(all.len(), 24);
    }
}
