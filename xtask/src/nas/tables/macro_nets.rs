//! NAS-Bench-Macro (Su et al. 2021): 8 layers with 3 choices each, one objective.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use edgecut_search::{Algorithm, Evolution, Gene, Objective, Predictor, Random, Space};
use serde::Deserialize;

use super::options::Options;
use super::seeds::{mean, quantile, searches};
use super::table::Table;

#[derive(Deserialize)]
struct Net {
    mean_acc: f64,
}

/// Prints how far the best net found is from the best of all.
pub fn report(options: &Options) -> Result<(), String> {
    let table = read(options)?;
    let best = table.values.iter().map(|v| v[0]).fold(0.0, f64::max);
    println!(
        "NAS-Bench-Macro, CIFAR-10: {} nets, the best has {best:.2} % (mean test accuracy of 3 runs,",
        table.values.len()
    );
    println!(
        "which is what is searched, too: the table has no validation accuracy). Regret of the best net"
    );
    println!("found, in points of accuracy, over {} seeds.\n", options.seeds);
    println!(
        "| algorithm | trials | mean ± s.e. | median | p90 | worst | found the best | in the best 10 |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let algorithms: [&dyn Algorithm; 3] =
        [&Random::default(), &Evolution::default(), &Predictor::default()];
    let mut sorted: Vec<f64> = table.values.iter().map(|v| v[0]).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    for algorithm in algorithms.into_iter().filter(|a| options.wants_algorithm(a.name())) {
        let start = Instant::now();
        let found = searches(options, &table, (algorithm, &|_| vec![]), 200)?;
        for trials in [50, 100, 200] {
            let accuracy: Vec<f64> = found
                .iter()
                .map(|values| values.iter().take(trials).map(|v| v[0]).fold(0.0, f64::max))
                .collect();
            let regret: Vec<f64> = accuracy.iter().map(|a| best - a).collect();
            let share = |from: f64| {
                100.0 * accuracy.iter().filter(|&&a| a >= from).count() as f64
                    / accuracy.len() as f64
            };
            let (mean, error) = mean(&regret);
            println!(
                "| {} | {trials} | {mean:.3} ± {error:.3} | {:.3} | {:.3} | {:.3} | {:.1} % | {:.1} % |",
                algorithm.name(),
                quantile(&regret, 0.5),
                quantile(&regret, 0.9),
                quantile(&regret, 1.0),
                share(best),
                share(sorted[9]),
            );
        }
        eprintln!("{}: {:.1} s", algorithm.name(), start.elapsed().as_secs_f64());
    }
    println!();
    Ok(())
}

fn read(options: &Options) -> Result<Table, String> {
    let path = options.data().join("nas-bench-macro_cifar10.json");
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let text = std::fs::read(&path).map_err(|e| wrong(&e))?;
    let nets: BTreeMap<String, Net> = serde_json::from_slice(&text).map_err(|e| wrong(&e))?;
    // Identity, or an inverted residual with kernel 3 and expansion 3, or 5 and 6.
    let choices = ["identity", "k3e3", "k5e6"];
    let genes = (1..=8).map(|layer| Gene::unordered(&format!("layer{layer}"), &choices)).collect();
    let space = Space::new(genes).map_err(|e| wrong(&e))?;
    let mut places = HashMap::new();
    let mut values = vec![];
    for (name, net) in nets {
        let digits = name.bytes().map(|b| u16::from(b.saturating_sub(b'0'))).collect();
        let genome = space.genome(digits).map_err(|e| wrong(&format!("net {name}: {e}")))?;
        places.insert(genome, values.len());
        values.push(vec![net.mean_acc]);
    }
    if space.size().map_err(|e| wrong(&e))? != places.len().into() {
        return Err(wrong(&"does not hold every net"));
    }
    Ok(Table {
        space,
        objectives: vec![Objective::maximise("accuracy, %")],
        known: vec![false],
        places,
        values,
    })
}
