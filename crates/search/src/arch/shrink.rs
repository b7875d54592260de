//! Takes out of a space what no network within the limits has.
//!
//! Shared weights are trained for all networks of a space, and those beyond the limits are never judged:
//! they cost training and blur the others. (TinyNAS fits the space to the device before it searches, too:
//! Lin et al. 2020, arXiv:2007.10319.) A choice goes if even the smallest network that has it breaks a
//! limit; since costs grow with every ordered choice, no network within the limits is lost.

use super::choices::Choices;
use super::file::SpaceFile;
use super::genes::{ArchSpace, Source};
use crate::error::Result;
use crate::space::Genome;

/// A space without what never fits.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left, described.
    pub file: SpaceFile,
    /// What is gone: `stage2.channels=48`.
    pub dropped: Vec<String>,
}

impl ArchSpace {
    /// The space without those choices whose smallest networks all do not fit.
    ///
    /// # Errors
    /// None: every choice exists.
    pub fn shrunk(&self, fits: &mut dyn FnMut(&Genome) -> bool) -> Result<Shrunk> {
        let mut file = self.file.clone();
        let mut shrinking = Shrinking { space: self, fits, dropped: vec![] };
        let layout = &self.layout;
        file.resolution = Some(shrinking.left("resolution", &self.sides, &[layout.resolution])?);
        file.stem.channels = shrinking.left("stem", &self.file.stem.channels, &[layout.stem])?;
        file.activation =
            shrinking.left("activation", &self.file.activation, &[layout.activation])?;
        file.last = shrinking.left("last", &self.file.last, &[layout.last])?;
        for (number, (stage, genes)) in (1..).zip(file.stages.iter_mut().zip(&layout.stages)) {
            let name = |field: &str| format!("stage{number}.{field}");
            let each = |part: usize| -> Vec<Source> {
                genes.blocks.iter().map(|sources| sources[part]).collect()
            };
            stage.block = shrinking.left(&name("block"), &stage.block, &[genes.block])?;
            stage.channels =
                shrinking.left(&name("channels"), &stage.channels, &[genes.channels])?;
            stage.depth = shrinking.left(&name("depth"), &stage.depth, &[genes.depth])?;
            stage.bits = shrinking.left(&name("bits"), &stage.bits, &[genes.bits])?;
            stage.kernel = shrinking.left(&name("kernel"), &stage.kernel, &each(0))?;
            stage.expansion = shrinking.left(&name("expansion"), &stage.expansion, &each(1))?;
            stage.excite = shrinking.left(&name("excite"), &stage.excite, &each(2))?;
        }
        Ok(Shrunk { file, dropped: shrinking.dropped })
    }

    /// The smallest networks with a choice of a gene, one for each family that others may have.
    fn least_with(&self, gene: usize, choice: u16) -> Result<Vec<Genome>> {
        let with = |family: usize| {
            let mut choices = self.extreme(false, family)?.choices().to_vec();
            self.choose(&mut choices, gene, choice);
            self.space().genome(choices)
        };
        (0..self.families()).map(with).collect()
    }

    /// Chooses, and whatever the gene needs to be there.
    fn choose(&self, choices: &mut [u16], gene: usize, choice: u16) {
        choices[gene] = choice;
        // Conditions look back only, so this ends.
        for condition in &self.space().genes()[gene].when {
            if !condition.choices.contains(&choices[condition.gene]) {
                self.choose(choices, condition.gene, condition.choices[0]);
            }
        }
    }
}

struct Shrinking<'a> {
    space: &'a ArchSpace,
    fits: &'a mut dyn FnMut(&Genome) -> bool,
    dropped: Vec<String>,
}

impl Shrinking<'_> {
    /// Those of `choices` that fit through one of the genes that choose among them; all where none does.
    fn left<T: Copy>(
        &mut self,
        name: &str,
        choices: &Choices<T>,
        sources: &[Source],
    ) -> Result<Choices<T>> {
        let genes: Vec<usize> = sources.iter().filter_map(|source| source.gene()).collect();
        if genes.is_empty() {
            return Ok(choices.clone());
        }
        let mut kept = vec![];
        for choice in 0..choices.values().len() as u16 {
            kept.push(self.one_fits(&genes, choice)?);
        }
        if !kept.contains(&true) {
            return Ok(choices.clone());
        }
        let labels = &self.space.space().genes()[genes[0]].choices;
        let gone = labels.iter().zip(&kept).filter(|(_, kept)| !**kept);
        self.dropped.extend(gone.map(|(label, _)| format!("{name}={label}")));
        Ok(choices.kept(&kept))
    }

    fn one_fits(&mut self, genes: &[usize], choice: u16) -> Result<bool> {
        for &gene in genes {
            for genome in self.space.least_with(gene, choice)? {
                if self.space.net(&genome).check().is_ok() && (self.fits)(&genome) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
