//! A problem that takes no time.

use std::sync::Mutex;

use edgecut_search::{Gene, Genome, Objective, Problem, Proposal, Space};

/// Stages with depth, width and operators; the wider and deeper, the better and the slower.
pub struct Toy {
    pub space: Space,
    pub objectives: Vec<Objective>,
    /// Largest latency that is allowed.
    pub limit: f64,
    /// How long evaluations take at most, drawn by trial, so that they end out of order.
    pub microseconds: u64,
    pub fidelities: Vec<f64>,
    /// Numbers of the trials that were evaluated.
    pub evaluated: Mutex<Vec<usize>>,
}

impl Toy {
    pub fn new() -> Toy {
        let mut genes = vec![];
        for stage in 0..3usize {
            let at = genes.len();
            genes.push(Gene::ordered(&format!("depth{stage}"), &["1", "2", "3"]));
            genes.push(Gene::ordered(&format!("width{stage}"), &["8", "16", "24", "32"]));
            for layer in 0..3u16 {
                let kernel = Gene::unordered(&format!("op{stage}.{layer}"), &["k3", "k5", "se"]);
                let deeper: Vec<u16> = (layer..3).collect();
                genes.push(if layer == 0 { kernel } else { kernel.when(at, &deeper) });
            }
        }
        let space = Space::new(genes).unwrap();
        let objectives = vec![Objective::maximise("accuracy"), Objective::minimise("ms")];
        let (limit, microseconds, fidelities) = (f64::INFINITY, 0, vec![1.0]);
        Toy { space, objectives, limit, microseconds, fidelities, evaluated: Mutex::default() }
    }

    pub fn latency(&self, genome: &Genome) -> f64 {
        let active = self.space.active(genome);
        let stage = |(genes, active): (&[u16], &[bool])| {
            let width = f64::from(genes[1] + 1);
            let cost = |(op, active): (&u16, &bool)| {
                [1.0, 1.7, 1.2][usize::from(*op)] * f64::from(*active)
            };
            width * genes[2..].iter().zip(&active[2..]).map(cost).sum::<f64>()
        };
        genome.choices().chunks(5).zip(active.chunks(5)).map(stage).sum()
    }

    pub fn accuracy(&self, genome: &Genome) -> f64 {
        let stages: f64 = genome
            .choices()
            .chunks(5)
            .map(|g| {
                f64::from(g[1]).sqrt() + 0.8 * f64::from(g[0]) + f64::from(g[2] == 2 && g[3] == 1)
            })
            .sum();
        100.0 - 60.0 / (1.0 + stages)
    }
}

impl Problem for Toy {
    fn space(&self) -> &Space {
        &self.space
    }

    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn violation(&self, genome: &Genome) -> f64 {
        (self.latency(genome) / self.limit - 1.0).max(0.0)
    }

    fn fidelities(&self) -> &[f64] {
        &self.fidelities
    }

    fn evaluate(&self, proposal: &Proposal, trial: usize) -> Result<Vec<f64>, String> {
        self.evaluated.lock().unwrap().push(trial);
        let draw = (trial as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        std::thread::sleep(std::time::Duration::from_micros(draw % (self.microseconds + 1)));
        if trial % 17 == 16 {
            return Err("diverged".into());
        }
        // Less trained nets are judged with an error that their genes fix.
        let noise = proposal.genome.choices().iter().map(|&c| f64::from(c)).sum::<f64>() % 5.0;
        let known = self.fidelities[proposal.fidelity];
        let values = [
            self.accuracy(&proposal.genome) - noise * (1.0 - known),
            self.latency(&proposal.genome),
        ];
        Ok(values[..self.objectives.len()].to_vec())
    }
}
