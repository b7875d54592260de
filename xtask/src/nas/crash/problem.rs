//! Nets that are judged by a formula, after a while.

use std::time::Duration;

use edgecut_graph::rng::Rng;
use edgecut_search::{Gene, Genome, Objective, Problem, Proposal, Space};

/// Longest evaluation, in milliseconds.
const LONGEST: usize = 50;

/// The more is chosen, the better and the slower, with an error that the genes fix.
pub struct Formula {
    space: Space,
    objectives: Vec<Objective>,
    /// Whether evaluations take time.
    slow: bool,
}

impl Formula {
    /// Evaluations take up to 50 ms, drawn by trial, where it is `slow`.
    pub fn new(slow: bool) -> Formula {
        let gene = |i: usize| Gene::ordered(&format!("gene{i}"), &["0", "1", "2", "3"]);
        let space = Space::new((0..10).map(gene).collect()).expect("the genes fit");
        let objectives = vec![Objective::maximise("accuracy, %"), Objective::minimise("ms")];
        Formula { space, objectives, slow }
    }

    fn latency(genome: &Genome) -> f64 {
        genome.choices().iter().map(|&c| (f64::from(c) + 1.0).powf(1.3)).sum()
    }

    fn accuracy(genome: &Genome) -> f64 {
        let keys: Vec<u64> = genome.choices().iter().map(|&c| u64::from(c)).collect();
        let error = f64::from(Rng::keyed(&keys).uniform());
        let gains = genome.choices().iter().enumerate();
        gains.map(|(i, &c)| f64::from(c).sqrt() * (1.0 + i as f64 / 5.0)).sum::<f64>() + error
    }
}

impl Problem for Formula {
    fn space(&self) -> &Space {
        &self.space
    }

    fn objectives(&self) -> &[Objective] {
        &self.objectives
    }

    fn fidelities(&self) -> &[f64] {
        &[1.0 / 3.0, 1.0]
    }

    fn evaluate(&self, proposal: &Proposal, trial: usize) -> Result<Vec<f64>, String> {
        let mut rng = Rng::keyed(&[trial as u64]);
        let pause = Duration::from_millis(rng.below(LONGEST) as u64);
        if self.slow {
            std::thread::sleep(pause);
        }
        if trial % 13 == 12 {
            return Err("diverged".into());
        }
        let less_trained = [1.5, 0.0][proposal.fidelity] * f64::from(rng.uniform());
        let genome = &proposal.genome;
        Ok(vec![Formula::accuracy(genome) - less_trained, Formula::latency(genome)])
    }
}
