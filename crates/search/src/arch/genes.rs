//! A described space as genes.

use std::fmt::Display;

use edgecut_zoo::{BlockNet, Family};
use serde::Serialize;

use super::choices::Choices;
use super::file::{SpaceFile, StageFile};
use crate::error::Result;
use crate::space::{Gene, Genome, Space};

/// A space of architectures for pictures of some size and a number of classes.
#[derive(Clone, Debug)]
pub struct ArchSpace {
    pub(super) file: SpaceFile,
    pub(super) sides: Choices<usize>,
    pub(super) channels: usize,
    pub(super) classes: usize,
    pub(super) layout: Layout,
    space: Space,
}

/// Where a value comes from: a gene, or the only choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Source(Option<usize>);

impl Source {
    /// The chosen one of `choices`.
    pub fn of<T: Copy>(self, choices: &Choices<T>, genome: &Genome) -> T {
        choices.values()[self.0.map_or(0, |gene| usize::from(genome.choices()[gene]))]
    }

    /// The gene, where there are several choices.
    pub fn gene(self) -> Option<usize> {
        self.0
    }

    /// Chooses the value numbered `choice`, where there are several.
    pub fn set(self, choices: &mut [u16], choice: u16) {
        if let Some(gene) = self.0 {
            choices[gene] = choice;
        }
    }
}

/// Which gene says what.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub resolution: Source,
    pub stem: Source,
    pub activation: Source,
    pub last: Source,
    pub stages: Vec<StageLayout>,
}

#[derive(Clone, Debug)]
pub(super) struct StageLayout {
    pub block: Source,
    pub channels: Source,
    pub depth: Source,
    pub bits: Source,
    /// Kernel, expansion and excitation of as many blocks as there may be.
    pub blocks: Vec<[Source; 3]>,
}

impl ArchSpace {
    /// The space that `file` describes, for square pictures of some channels and pixels, and `classes`
    /// classes.
    ///
    /// # Errors
    /// Values that occur twice, or so many that no search could choose among them.
    pub fn new(file: SpaceFile, [channels, side]: [usize; 2], classes: usize) -> Result<ArchSpace> {
        let sides = file.sides(side);
        let mut genes = Genes(vec![]);
        let layout = Layout {
            resolution: genes.ordered("resolution", &sides, &[]),
            stem: genes.ordered("stem", &file.stem.channels, &[]),
            activation: genes.unordered("activation", &file.activation, &[]),
            last: genes.ordered("last", &file.last, &[]),
            stages: (1..).zip(&file.stages).map(|(number, s)| genes.stage(number, s)).collect(),
        };
        // A space of one network is one still.
        if genes.0.is_empty() {
            genes.0.push(Gene::unordered("network", &[&file.name]));
        }
        let space = Space::new(genes.0)?;
        Ok(ArchSpace { file, sides, channels, classes, layout, space })
    }

    /// Its genes.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Largest side of the input: what pictures are prepared at.
    pub fn side(&self) -> usize {
        self.sides.values().iter().copied().max().unwrap_or(1)
    }

    /// What describes it.
    pub fn file(&self) -> &SpaceFile {
        &self.file
    }

    /// The genome of the largest or the smallest choices; of families the one numbered `family`,
    /// counted round where a stage has fewer.
    ///
    /// # Errors
    /// None: the choices exist.
    pub(super) fn extreme(&self, largest: bool, family: usize) -> Result<Genome> {
        let choice = |gene: &Gene| {
            let count = gene.choices.len();
            let at = match (gene.ordered, largest) {
                (true, true) => count - 1,
                (true, false) => 0,
                (false, _) => family % count,
            };
            at as u16
        };
        self.space.genome(self.space.genes().iter().map(choice).collect())
    }

    /// Families that a stage may have, at most.
    pub(super) fn families(&self) -> usize {
        let counts = self.space.genes().iter().filter(|gene| !gene.ordered);
        counts.map(|gene| gene.choices.len()).max().unwrap_or(1)
    }

    /// The network of `genome`.
    pub fn net(&self, genome: &Genome) -> BlockNet {
        super::net::net(self, genome)
    }
}

struct Genes(Vec<Gene>);

/// That another gene has one of these choices.
type When = (usize, Vec<u16>);

impl Genes {
    fn ordered<T: Display>(&mut self, name: &str, choices: &Choices<T>, when: &[When]) -> Source {
        let names: Vec<String> = choices.values().iter().map(T::to_string).collect();
        self.push(name, names, true, when)
    }

    fn unordered<T: Serialize>(
        &mut self,
        name: &str,
        choices: &Choices<T>,
        when: &[When],
    ) -> Source {
        let spelled = choices.values().iter().map(|value| {
            let text = serde_json::to_value(value).ok();
            text.and_then(|text| text.as_str().map(String::from)).unwrap_or_default()
        });
        let names = spelled.collect();
        self.push(name, names, false, when)
    }

    fn push(&mut self, name: &str, choices: Vec<String>, ordered: bool, when: &[When]) -> Source {
        if choices.len() == 1 {
            return Source(None);
        }
        let names: Vec<&str> = choices.iter().map(String::as_str).collect();
        let gene = match ordered {
            true => Gene::ordered(name, &names),
            false => Gene::unordered(name, &names),
        };
        let gene = when.iter().fold(gene, |gene, (other, some)| gene.when(*other, some));
        self.0.push(gene);
        Source(Some(self.0.len() - 1))
    }

    fn stage(&mut self, number: usize, stage: &StageFile) -> StageLayout {
        let name = |field: &str| format!("stage{number}.{field}");
        let block = self.unordered(&name("block"), &stage.block, &[]);
        let channels = self.ordered(&name("channels"), &stage.channels, &[]);
        let depth = self.ordered(&name("depth"), &stage.depth, &[]);
        let bits = self.ordered(&name("bits"), &stage.bits, &[]);
        let depths = stage.depth.values();
        let most = depths.last().copied().unwrap_or(1);
        let blocks = (1..=most).map(|place| {
            // A block is there in stages that are deep enough, and has what its family has.
            let when = |has: fn(Family) -> bool| -> Option<Vec<When>> {
                let deep = positions(depths, |&depth| depth >= place);
                let fit = positions(stage.block.values(), |&name| has(name));
                let conditions =
                    [(depth, depths.len(), deep), (block, stage.block.values().len(), fit)];
                let mut when = vec![];
                for (source, count, choices) in conditions {
                    match source.0 {
                        _ if choices.is_empty() => return None,
                        Some(gene) if choices.len() < count => when.push((gene, choices)),
                        _ => {}
                    }
                }
                Some(when)
            };
            let name = |field: &str| format!("stage{number}.{place}.{field}");
            let (kernel, expansion) = (when(Family::has_kernel), when(Family::has_expansion));
            let excite = when(Family::has_excite);
            [
                kernel.map_or(Source(None), |w| self.ordered(&name("kernel"), &stage.kernel, &w)),
                expansion.map_or(Source(None), |w| {
                    self.ordered(&name("expansion"), &stage.expansion, &w)
                }),
                excite.map_or(Source(None), |w| self.ordered(&name("excite"), &stage.excite, &w)),
            ]
        });
        let blocks = blocks.collect();
        StageLayout { block, channels, depth, bits, blocks }
    }
}

fn positions<T>(values: &[T], holds: impl Fn(&T) -> bool) -> Vec<u16> {
    (0u16..).zip(values).filter(|(_, value)| holds(value)).map(|(at, _)| at).collect()
}
