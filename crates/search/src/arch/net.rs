//! From a genome to a network.

use edgecut_graph::rng::Rng;
use edgecut_graph::{Graph, Node, Op};
use edgecut_zoo::{Block, BlockNet, BlockStage, Family as Blocks};

use super::ArchSpace;
use crate::error::Result;
use crate::space::Genome;
use crate::supernet::{Family, Network};

/// Draws until one can be built.
const DRAWS: usize = 1000;

pub(super) fn net(space: &ArchSpace, genome: &Genome) -> BlockNet {
    let (file, layout) = (&space.file, &space.layout);
    let side = layout.resolution.of(&space.sides, genome);
    let activation = layout.activation.of(&file.activation, genome);
    let last = layout.last.of(&file.last, genome);
    let stages = file.stages.iter().zip(&layout.stages).map(|(stage, genes)| {
        let depth = genes.depth.of(&stage.depth, genome);
        let block = |[kernel, expansion, excite]: &[super::genes::Source; 3]| Block {
            kernel: kernel.of(&stage.kernel, genome),
            expansion: expansion.of(&stage.expansion, genome),
            excite: excite.of(&stage.excite, genome),
        };
        BlockStage {
            family: genes.block.of(&stage.block, genome),
            channels: genes.channels.of(&stage.channels, genome),
            stride: stage.stride,
            activation,
            blocks: genes.blocks[..depth].iter().map(block).collect(),
        }
    });
    BlockNet {
        name: file.name.clone(),
        input: [space.channels, side, side],
        classes: space.classes,
        stem: layout.stem.of(&file.stem.channels, genome),
        stem_stride: file.stem.stride,
        activation,
        stages: stages.collect(),
        last: (last > 0).then_some(last),
    }
}

impl ArchSpace {
    /// The graph of `genome` with fresh weights, a function of both and `seed`.
    ///
    /// # Errors
    /// Choices that cannot follow one another, such as a ShuffleNetV1 stage that is no wider than the
    /// one before it.
    pub fn graph(&self, genome: &Genome, seed: u64) -> Result<Graph> {
        Ok(self.net(genome).build(seed)?)
    }

    /// The graph of `genome` and how many bits its weights have on the device.
    ///
    /// # Errors
    /// As [`ArchSpace::graph`].
    pub fn network(&self, genome: &Genome, seed: u64) -> Result<Network> {
        let graph = self.graph(genome, seed)?;
        let stages = (0..).zip(self.file.stages.iter().zip(&self.layout.stages));
        let narrow = stages.filter(|(_, (stage, genes))| genes.bits.of(&stage.bits, genome) == 4);
        let prefixes: Vec<String> = narrow.map(|(number, _)| format!("stages.{number}.")).collect();
        let convolution = |node: &&Node| matches!(node.op, Op::Conv { .. });
        let named = |node: &&Node| prefixes.iter().any(|prefix| node.name.starts_with(prefix));
        let nodes = graph.nodes.iter().filter(convolution).filter(named);
        let four_bit = nodes.map(|node| node.name.clone()).collect();
        Ok(Network { graph, four_bit })
    }

    /// The network of the smallest choices.
    ///
    /// # Errors
    /// Where it cannot be built.
    pub fn least(&self) -> Result<Network> {
        self.network(&self.extreme(false, 0)?, 0)
    }

    /// A random genome that can be built.
    ///
    /// # Errors
    /// Where none was found.
    pub fn draw(&self, rng: &mut Rng) -> Result<Genome> {
        let mut genome = self.space().sample(rng);
        for _ in 1..DRAWS {
            if self.net(&genome).check().is_ok() {
                break;
            }
            genome = self.space().sample(rng);
        }
        self.net(&genome).check()?;
        Ok(genome)
    }
}

impl Family for ArchSpace {
    fn largest(&self) -> Result<Vec<Graph>> {
        let families = 0..self.families();
        families.map(|family| self.graph(&self.extreme(true, family)?, 0)).collect()
    }

    /// Units of ShuffleNetV1 that halve the map make what their input lacks: most of it behind the
    /// narrowest stage.
    fn whole(&self) -> Result<Vec<Graph>> {
        let mut graphs = self.largest()?;
        let v1 = |family: &Blocks| *family == Blocks::ShuffleNetV1;
        for (at, stage) in self.file.stages.iter().enumerate() {
            let Some(family) = stage.block.values().iter().position(v1) else { continue };
            let before = match at {
                0 => self.layout.stem,
                _ => self.layout.stages[at - 1].channels,
            };
            let mut choices = self.extreme(true, family)?.choices().to_vec();
            before.set(&mut choices, 0);
            graphs.push(self.graph(&self.space().genome(choices)?, 0)?);
        }
        Ok(graphs)
    }

    fn smallest(&self) -> Result<Graph> {
        self.graph(&self.extreme(false, 0)?, 0)
    }

    fn random(&self, rng: &mut Rng) -> Result<Graph> {
        self.graph(&self.draw(rng)?, 0)
    }
}
