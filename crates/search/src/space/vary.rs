//! Random genomes, and new ones from old ones.

use edgecut_graph::rng::Rng;

use super::{Genome, Space};

impl Space {
    /// A random genome: each gene in order, if active, is a uniform draw. So the depth of a stage is
    /// uniform, however many nets each depth has.
    pub fn sample(&self, rng: &mut Rng) -> Genome {
        let draw = |rng: &mut Rng, index: usize| rng.below(self.genes[index].choices.len()) as u16;
        let choices = (0..self.genes.len()).map(|index| draw(rng, index)).collect();
        self.canonical(choices)
    }

    /// The genome with exactly one active gene changed, drawn uniformly among those that have a
    /// choice (regularised evolution's mutation: Real et al. 2019). An ordered gene moves by one
    /// step half of the time. Genes that become active are drawn anew.
    pub fn mutate(&self, genome: &Genome, rng: &mut Rng) -> Genome {
        let open: Vec<usize> = self.open_genes(genome);
        match open.is_empty() {
            true => genome.clone(),
            false => self.change(genome, &[open[rng.below(open.len())]], rng),
        }
    }

    /// The genome with each active gene changed with probability `rate`, but at least one.
    pub fn mutate_each(&self, genome: &Genome, rate: f32, rng: &mut Rng) -> Genome {
        let mut chosen = self.open_genes(genome);
        chosen.retain(|_| rng.uniform() < rate);
        match chosen.is_empty() {
            true => self.mutate(genome, rng),
            false => self.change(genome, &chosen, rng),
        }
    }

    /// A child that has each gene from one of both, drawn uniformly (uniform crossover). A gene that
    /// is active in one parent only comes from that one.
    pub fn cross(&self, a: &Genome, b: &Genome, rng: &mut Rng) -> Genome {
        let (in_a, in_b) = (self.active(a), self.active(b));
        let pick = |index: usize| {
            let first = rng.below(2) == 0;
            match (in_a[index], in_b[index]) {
                (true, false) => a.0[index],
                (false, true) => b.0[index],
                _ if first => a.0[index],
                _ => b.0[index],
            }
        };
        self.canonical((0..self.genes.len()).map(pick).collect())
    }

    /// All genomes that differ from `genome` in the choice of one active gene; genes that become
    /// active get their first choice.
    pub fn neighbours(&self, genome: &Genome) -> Vec<Genome> {
        let mut found = vec![];
        for index in self.open_genes(genome) {
            for choice in
                (0..self.genes[index].choices.len() as u16).filter(|&c| c != genome.0[index])
            {
                let mut choices = genome.0.clone();
                choices[index] = choice;
                found.push(self.canonical(choices));
            }
        }
        found
    }

    /// Active genes with more than one choice.
    fn open_genes(&self, genome: &Genome) -> Vec<usize> {
        let active = self.active(genome);
        (0..self.genes.len()).filter(|&i| active[i] && self.genes[i].choices.len() > 1).collect()
    }

    fn change(&self, genome: &Genome, genes: &[usize], rng: &mut Rng) -> Genome {
        let mut choices = genome.0.clone();
        for &index in genes {
            let gene = &self.genes[index];
            choices[index] = match gene.ordered && rng.below(2) == 0 {
                true => step(choices[index], gene.choices.len(), rng),
                false => other(choices[index], gene.choices.len(), rng),
            };
        }
        // Whether a gene is active depends on it only where it is: drawing for all is harmless.
        let before = self.active(genome);
        for index in (0..choices.len()).filter(|&index| !before[index]) {
            choices[index] = rng.below(self.genes[index].choices.len()) as u16;
        }
        self.canonical(choices)
    }
}

/// Another choice, uniformly; there are at least two.
fn other(choice: u16, count: usize, rng: &mut Rng) -> u16 {
    let draw = rng.below(count - 1) as u16;
    draw + u16::from(draw >= choice)
}

/// A neighbouring choice; there are at least two.
fn step(choice: u16, count: usize, rng: &mut Rng) -> u16 {
    match choice {
        0 => 1,
        last if usize::from(last) + 1 == count => last - 1,
        inner => inner - 1 + 2 * rng.below(2) as u16,
    }
}
