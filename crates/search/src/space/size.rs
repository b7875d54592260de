//! How many genomes a space has, exactly.

use std::collections::{BTreeMap, HashMap};

use num_bigint::BigUint;

use super::Space;
use crate::error::{Result, SearchError};

/// Most combinations of deciding genes that are told apart at once.
const MAX_STATES: usize = 1 << 20;

impl Space {
    /// Number of distinct genomes.
    ///
    /// Walks over the genes in order and counts, for each combination of those choices on which later
    /// genes still depend (none for an inactive gene), how many beginnings lead there. Stages whose
    /// conditions stay within themselves keep these combinations few.
    ///
    /// # Errors
    /// Where more than a million combinations must be told apart at once.
    pub fn size(&self) -> Result<BigUint> {
        let last_reader = self.last_readers();
        // Choices of the genes that are still needed, by gene; `None` is inactive.
        type State = BTreeMap<usize, Option<u16>>;
        let mut states: HashMap<State, BigUint> = [(State::new(), BigUint::from(1u8))].into();
        for (index, gene) in self.genes.iter().enumerate() {
            let mut next: HashMap<State, BigUint> = HashMap::new();
            for (state, count) in states {
                let active = gene.when.iter().all(|condition| {
                    state[&condition.gene].is_some_and(|c| condition.choices.contains(&c))
                });
                let mut kept = state;
                kept.retain(|other, _| last_reader[*other] > index);
                if last_reader[index] <= index {
                    let ways = if active { gene.choices.len() } else { 1 };
                    *next.entry(kept).or_default() += count * ways;
                    continue;
                }
                let choices: Vec<Option<u16>> = match active {
                    true => (0..gene.choices.len()).map(|c| Some(c as u16)).collect(),
                    false => vec![None],
                };
                for choice in choices {
                    let mut state = kept.clone();
                    state.insert(index, choice);
                    *next.entry(state).or_default() += &count;
                }
            }
            if next.len() > MAX_STATES {
                let problem = "is one of too many genes on which far later ones depend; order the \
                               genes stage by stage";
                return Err(SearchError::gene(&gene.name, problem));
            }
            states = next;
        }
        Ok(states.into_values().sum())
    }

    /// The last gene that depends on each, or 0.
    fn last_readers(&self) -> Vec<usize> {
        let mut last = vec![0; self.genes.len()];
        for (index, gene) in self.genes.iter().enumerate() {
            gene.when.iter().for_each(|condition| last[condition.gene] = index);
        }
        last
    }
}
