//! Records and their bytes.

use serde::{Deserialize, Serialize};

use crate::history::Outcome;
use crate::problem::{Objective, Problem, Proposal};
use crate::space::Genome;

/// Version of the format.
const VERSION: u32 = 1;

/// Hexadecimal digits of a checksum.
const DIGITS: usize = 8;

/// What a search begins with; another beginning needs another journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the format.
    pub version: u32,
    /// [`crate::Space::digest`].
    pub space: String,
    /// [`Problem::digest`].
    pub problem: String,
    /// What nets are judged by.
    pub objectives: Vec<Objective>,
    /// Costs of the fidelities.
    pub fidelities: Vec<f64>,
    /// Name of the algorithm.
    pub algorithm: String,
    /// Its settings.
    pub settings: serde_json::Value,
    /// The search's seed.
    pub seed: u64,
    /// Nets to begin with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warm: Vec<Genome>,
}

impl Header {
    /// That of a search of `problem`.
    pub fn new(
        problem: &dyn Problem,
        algorithm: &dyn crate::Algorithm,
        seed: u64,
        warm: &[Genome],
    ) -> Header {
        Header {
            version: VERSION,
            space: problem.space().digest(),
            problem: problem.digest(),
            objectives: problem.objectives().to_vec(),
            fidelities: problem.fidelities().to_vec(),
            algorithm: algorithm.name().into(),
            settings: algorithm.settings(),
            seed,
            warm: warm.to_vec(),
        }
    }

    /// What differs between the header that was found and that of the search that wants to go on, in
    /// words.
    pub fn difference(&self, wanted: &Header) -> Option<String> {
        let said = |what: &str, found: &dyn std::fmt::Display, now: &dyn std::fmt::Display| {
            Some(format!("was begun with {what} {found}, and not {now}"))
        };
        if self.version != wanted.version {
            return said("version", &self.version, &wanted.version);
        }
        self.difference_in_problem(wanted).or_else(|| match () {
            () if self.algorithm != wanted.algorithm => {
                said("algorithm", &self.algorithm, &wanted.algorithm)
            }
            () if self.settings != wanted.settings => {
                said("settings", &self.settings, &wanted.settings)
            }
            () if self.seed != wanted.seed => said("seed", &self.seed, &wanted.seed),
            () if self.warm != wanted.warm => Some("was begun with other first nets".into()),
            () => None,
        })
    }

    /// What keeps a worker with `problem` from evaluating for this search, in words.
    pub fn difference_from(&self, problem: &dyn Problem) -> Option<String> {
        let space = problem.space().digest();
        let (objectives, fidelities) = (problem.objectives().into(), problem.fidelities().into());
        let own =
            Header { space, problem: problem.digest(), objectives, fidelities, ..self.clone() };
        self.difference_in_problem(&own)
    }

    fn difference_in_problem(&self, wanted: &Header) -> Option<String> {
        if self.space != wanted.space {
            return Some("was begun with another space".into());
        }
        if self.objectives != wanted.objectives {
            let (found, now) = (names(&self.objectives), names(&wanted.objectives));
            return Some(format!("was begun with objectives {found}, and not {now}"));
        }
        let is_same = self.problem == wanted.problem && self.fidelities == wanted.fidelities;
        (!is_same).then(|| "was begun with other data, another recipe or another device".into())
    }
}

fn names(objectives: &[Objective]) -> String {
    let spell = |o: &Objective| match (o.reference, o.ideal) {
        (None, None) => o.name.clone(),
        (reference, ideal) => format!("{} (reference {reference:?}, ideal {ideal:?})", o.name),
    };
    objectives.iter().map(spell).collect::<Vec<_>>().join(", ")
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// A search begins; the first record, and only that.
    Begin(Header),
    /// These evaluations are asked for; the first has number `first`, and so on.
    Batch {
        /// Number of the first.
        first: usize,
        /// What is asked for.
        proposals: Vec<Proposal>,
        /// What is to be said about it: limits were relaxed, for example.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        notice: Option<String>,
    },
    /// An evaluation has ended.
    Result {
        /// Its number.
        trial: usize,
        /// How it ended.
        outcome: Outcome,
    },
}

impl Record {
    /// One line: CRC-32 of the rest in eight hexadecimal digits, a blank, JSON, a line feed. The same
    /// bytes are a message of a stream.
    pub fn encode(&self) -> Vec<u8> {
        let text = serde_json::to_string(self).expect("records are JSON");
        format!("{:08x} {text}\n", crc32fast::hash(text.as_bytes())).into_bytes()
    }

    /// Reads what [`Record::encode`] has written.
    ///
    /// # Errors
    /// With what is wrong, where checksum or form are.
    pub fn decode(line: &[u8]) -> Result<Record, String> {
        let line = line.strip_suffix(b"\n").ok_or("is cut off")?;
        let (digits, rest) = line.split_at_checked(DIGITS).ok_or("has no checksum")?;
        let text = rest.strip_prefix(b" ").ok_or("has no checksum")?;
        if format!("{:08x}", crc32fast::hash(text)).as_bytes() != digits {
            return Err("does not match its checksum".into());
        }
        serde_json::from_slice(text).map_err(|e| format!("has another form: {e}"))
    }
}
