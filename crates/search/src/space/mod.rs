//! Spaces: lists of named genes, each a choice among a few, some only there under conditions.

mod features;
mod size;
mod vary;

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Result, SearchError};

/// Most choices of one gene.
pub const MAX_CHOICES: usize = 1 << 12;

/// Most genes of a space.
pub const MAX_GENES: usize = 1 << 12;

/// A decision of the search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gene {
    /// Its name, unique in the space.
    pub name: String,
    /// What can be chosen, by name.
    pub choices: Vec<String>,
    /// Whether neighbouring choices are alike, as widths are and operators are not.
    #[serde(default)]
    pub ordered: bool,
    /// The gene matters where all of these hold; otherwise it is *inactive*.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

impl Gene {
    /// A gene whose choices have no order.
    pub fn unordered(name: &str, choices: &[&str]) -> Gene {
        let choices = choices.iter().map(|c| c.to_string()).collect();
        Gene { name: name.into(), choices, ordered: false, when: vec![] }
    }

    /// A gene whose choices are given from small to large.
    pub fn ordered(name: &str, choices: &[&str]) -> Gene {
        Gene { ordered: true, ..Gene::unordered(name, choices) }
    }

    /// The gene, active only where gene `index` is, and has one of `choices`.
    pub fn when(mut self, index: usize, choices: &[u16]) -> Gene {
        self.when.push(Condition { gene: index, choices: choices.to_vec() });
        self
    }
}

/// That an earlier gene is active and has one of some choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Index of the gene.
    pub gene: usize,
    /// Indices of its choices.
    pub choices: Vec<u16>,
}

/// A point of a space: for each gene the index of its choice, 0 where it is inactive, so that
/// equal nets are equal genomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Genome(Vec<u16>);

impl Genome {
    /// Index of the choice of each gene.
    pub fn choices(&self) -> &[u16] {
        &self.0
    }
}

/// A search space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    genes: Vec<Gene>,
}

impl Space {
    /// The space of `genes`.
    ///
    /// # Errors
    /// Where there is no gene or more than [`MAX_GENES`], a gene has no choice or more than
    /// [`MAX_CHOICES`], a name occurs twice, or a condition is not about an earlier gene's choices.
    pub fn new(genes: Vec<Gene>) -> Result<Space> {
        if genes.is_empty() || genes.len() > MAX_GENES {
            let problem = format!("a space has 1 to {MAX_GENES} genes, not {}", genes.len());
            return Err(SearchError::Input(problem));
        }
        let mut names = HashSet::new();
        for (index, gene) in genes.iter().enumerate() {
            if !names.insert(&gene.name) {
                return Err(SearchError::gene(&gene.name, "occurs twice; names are unique"));
            }
            check_choices(gene)?;
            gene.when.iter().try_for_each(|c| check_condition(gene, c, &genes[..index]))?;
        }
        Ok(Space { genes })
    }

    /// The genes, in order.
    pub fn genes(&self) -> &[Gene] {
        &self.genes
    }

    /// SHA-256 of the genes, as hexadecimal digits.
    pub fn digest(&self) -> String {
        let text = serde_json::to_vec(&self.genes).expect("genes are JSON");
        Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Which genes matter for `choices`, in one walk: conditions look back only.
    fn activity(&self, choices: &[u16]) -> Vec<bool> {
        let mut active = Vec::with_capacity(choices.len());
        for gene in &self.genes {
            let holds = |c: &Condition| active[c.gene] && c.choices.contains(&choices[c.gene]);
            active.push(gene.when.iter().all(holds));
        }
        active
    }

    /// Which genes matter in `genome`.
    pub fn active(&self, genome: &Genome) -> Vec<bool> {
        self.activity(&genome.0)
    }

    /// The genome of `choices`, one for each gene, those of inactive genes set to 0.
    ///
    /// # Errors
    /// Where their number is wrong or a choice does not exist.
    pub fn genome(&self, choices: Vec<u16>) -> Result<Genome> {
        if choices.len() != self.genes.len() {
            let problem = format!("{} choices for {} genes", choices.len(), self.genes.len());
            return Err(SearchError::Input(problem));
        }
        for (gene, &choice) in self.genes.iter().zip(&choices) {
            if usize::from(choice) >= gene.choices.len() {
                let problem = format!("choice {choice}, but has {}", gene.choices.len());
                return Err(SearchError::gene(&gene.name, problem));
            }
        }
        Ok(self.canonical(choices))
    }

    /// Sets inactive genes to 0.
    fn canonical(&self, mut choices: Vec<u16>) -> Genome {
        let active = self.activity(&choices);
        choices.iter_mut().zip(active).filter(|(_, active)| !active).for_each(|(c, _)| *c = 0);
        Genome(choices)
    }

    /// The active genes of `genome` as `name=choice`, separated by spaces.
    pub fn describe(&self, genome: &Genome) -> String {
        let active = self.active(genome);
        let spell = |(gene, &choice): (&Gene, &u16)| {
            format!("{}={}", gene.name, gene.choices[usize::from(choice)])
        };
        let genes = self.genes.iter().zip(&genome.0).zip(active).filter(|(_, active)| *active);
        genes.map(|(gene, _)| spell(gene)).collect::<Vec<_>>().join(" ")
    }

    /// What of `own` differs from `before`: `name=choice`, behind it the choice that it was.
    pub fn changes(&self, before: &Genome, own: &Genome) -> Vec<String> {
        let active = self.active(own).into_iter().zip(self.active(before));
        let choices = own.0.iter().zip(&before.0).zip(active);
        let changed =
            self.genes.iter().zip(choices).filter_map(|(gene, ((&now, &then), active))| {
                let name = |choice: u16| &gene.choices[usize::from(choice)];
                match active {
                    (true, true) if now != then => {
                        Some(format!("{}={} (was {})", gene.name, name(now), name(then)))
                    }
                    (true, false) => Some(format!("{}={}", gene.name, name(now))),
                    _ => None,
                }
            });
        changed.collect()
    }
}

fn check_choices(gene: &Gene) -> Result<()> {
    if gene.choices.is_empty() || gene.choices.len() > MAX_CHOICES {
        let problem = format!("has {} choices; 1 to {MAX_CHOICES} work", gene.choices.len());
        return Err(SearchError::gene(&gene.name, problem));
    }
    let distinct: HashSet<&String> = gene.choices.iter().collect();
    if distinct.len() < gene.choices.len() {
        return Err(SearchError::gene(&gene.name, "has the same choice twice"));
    }
    Ok(())
}

fn check_condition(gene: &Gene, condition: &Condition, earlier: &[Gene]) -> Result<()> {
    let Some(other) = earlier.get(condition.gene) else {
        let problem = format!("depends on gene {}, which is no earlier one", condition.gene);
        return Err(SearchError::gene(&gene.name, problem));
    };
    let known = |&choice: &u16| usize::from(choice) < other.choices.len();
    if condition.choices.is_empty() || !condition.choices.iter().all(known) {
        let problem = format!("depends on choices that `{}` does not have", other.name);
        return Err(SearchError::gene(&gene.name, problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
