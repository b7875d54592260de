//! What is known about every test, one line each, checked in.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::execute::Outcome;

/// What the manifest says about a test.
#[derive(Clone, Debug, PartialEq)]
pub enum Status {
    /// Both executors compute what is expected.
    Pass,
    /// Import refuses the model, for this reason.
    Unsupported(String),
    /// Computed otherwise on purpose, for this reason, which a person wrote.
    Differs(String),
}

/// The manifest: operators of other fields than vision with their field, and the tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// The comment that the file begins with.
    pub head: String,
    pub fields: Vec<(String, Vec<String>)>,
    pub tests: BTreeMap<String, Status>,
}

impl Manifest {
    /// Reads the text of a manifest. Fails, naming the line, where it says nothing.
    pub fn parse(text: &str) -> Result<Manifest, String> {
        let mut manifest = Manifest::default();
        for (number, line) in text.lines().enumerate() {
            let wrong = || format!("manifest, line {}: '{line}'", number + 1);
            if line.starts_with('#') {
                let _ = writeln!(manifest.head, "{line}");
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            if let Some(field) = line.strip_prefix("outside ") {
                let (name, operators) = field.split_once(": ").ok_or_else(wrong)?;
                let operators = operators.split_whitespace().map(String::from).collect();
                manifest.fields.push((name.to_string(), operators));
                continue;
            }
            let (test, status) = line.split_once(": ").ok_or_else(wrong)?;
            let status = match status.split_once(": ") {
                None if status == "pass" => Status::Pass,
                Some(("unsupported", reason)) => Status::Unsupported(reason.to_string()),
                Some(("differs", reason)) => Status::Differs(reason.to_string()),
                _ => return Err(wrong()),
            };
            if manifest.tests.insert(test.to_string(), status).is_some() {
                return Err(format!("{}: listed twice", wrong()));
            }
        }
        Ok(manifest)
    }

    /// The text of the manifest, tests sorted by name.
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        text.push('\n');
        for (field, operators) in &self.fields {
            let _ = writeln!(text, "outside {field}: {}", operators.join(" "));
        }
        text.push('\n');
        for (test, status) in &self.tests {
            let _ = match status {
                Status::Pass => writeln!(text, "{test}: pass"),
                Status::Unsupported(reason) => writeln!(text, "{test}: unsupported: {reason}"),
                Status::Differs(reason) => writeln!(text, "{test}: differs: {reason}"),
            };
        }
        text
    }

    /// The field that an operator belongs to, where that is not vision.
    pub fn field(&self, operator: &str) -> Option<&str> {
        let named = self.fields.iter().find(|(_, ops)| ops.iter().any(|op| op == operator));
        named.map(|(field, _)| field.as_str())
    }

    /// What is wrong about `outcome` of `test`, if anything.
    pub fn problem(&self, test: &str, outcome: &Outcome) -> Option<String> {
        let problem = match (self.tests.get(test), outcome) {
            (Some(Status::Pass), Outcome::Passed(_))
            | (Some(Status::Unsupported(_)), Outcome::Refused(_))
            | (Some(Status::Differs(_)), Outcome::Failed(_)) => return None,
            (None, Outcome::Passed(_)) => "passes, but is not listed".to_string(),
            (None, Outcome::Refused(reason)) => format!("is not listed, and refused: {reason}"),
            (_, Outcome::Failed(problem)) => problem.clone(),
            (Some(_), Outcome::Passed(_)) => "passes, but is listed otherwise".to_string(),
            (Some(_), Outcome::Refused(reason)) => format!("is refused: {reason}"),
        };
        Some(format!("{test}: {problem}"))
    }

    /// The manifest for these outcomes. What a person wrote about differences stays; a failure that
    /// nobody explained cannot be listed: the error names it.
    pub fn updated(&self, outcomes: &[(String, Outcome)]) -> Result<Manifest, String> {
        let mut next = Manifest { tests: BTreeMap::new(), ..self.clone() };
        let mut failed = vec![];
        for (test, outcome) in outcomes {
            let status = match (outcome, self.tests.get(test)) {
                (Outcome::Passed(_), _) => Status::Pass,
                (Outcome::Refused(reason), _) => Status::Unsupported(one_line(reason)),
                (Outcome::Failed(_), Some(status @ Status::Differs(_))) => status.clone(),
                (Outcome::Failed(problem), _) => {
                    failed.push(format!("{test}: {problem}"));
                    continue;
                }
            };
            next.tests.insert(test.clone(), status);
        }
        match failed.is_empty() {
            true => Ok(next),
            false => Err(failed.join("\n")),
        }
    }
}

fn one_line(reason: &str) -> String {
    reason.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# about\n\noutside text: StringSplit\n\nnode/a: pass\nnode/b: unsupported: \
                        x: y\nnode/c: differs: rounds\n";

    #[test]
    fn text_and_manifest_are_the_same() {
        let manifest = Manifest::parse(TEXT).unwrap();
        assert_eq!(manifest.text(), TEXT);
        assert_eq!(manifest.field("StringSplit"), Some("text"));
        for wrong in ["node/a pass", "node/a: fine", "outside text", "a: pass\na: pass"] {
            assert!(Manifest::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_difference_in_either_direction_is_a_problem() {
        let manifest = Manifest::parse(TEXT).unwrap();
        let (passed, refused) = (Outcome::Passed(1), Outcome::Refused("r".into()));
        let failed = Outcome::Failed("f".into());
        let fine = [("node/a", &passed), ("node/b", &refused), ("node/c", &failed)];
        for test in ["node/a", "node/b", "node/c", "node/new"] {
            for outcome in [&passed, &refused, &failed] {
                let expected = fine.contains(&(test, outcome));
                assert_eq!(manifest.problem(test, outcome).is_none(), expected, "{test}");
            }
        }
        let failure = [("node/a".to_string(), failed)];
        assert!(manifest.updated(&failure).unwrap_err().contains("node/a"));
    }
}
