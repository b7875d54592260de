//! NAS-Bench-201 (Dong, Yang 2020) with latencies of HW-NAS-Bench (Li et al. 2021): 6 edges with 5
//! choices each, accuracy against latency.

use std::collections::HashMap;
use std::time::Instant;

use edgecut_graph::rng::Rng;
use edgecut_search::pareto::{Bounds, front};
use edgecut_search::{
    Ehvi, Gene, Genome, Nsga2, Objective, Predictor, Random, Space, best_quarter,
};

use super::options::Options;
use super::seeds::{Searcher, Warm, mean, quantile, searches};
use super::table::Table;
use crate::nas::bench201::Table as Rows;

/// Choices of an edge, as the benchmark names them.
const OPERATORS: [&str; 5] =
    ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"];

/// How many cells a warm start scores, and by what.
const WARM_CELLS: usize = 60;
const SCORES: [&str; 4] = ["zc_params", "zc_nwot", "zc_synflow", "zc_jacov"];

/// Numbers of trials.
const TRIALS: [usize; 4] = [100, 200, 500, 1000];

/// Prints which part of the exact front's hypervolume is found.
pub fn report(options: &Options) -> Result<(), String> {
    let rows = Rows::read(&options.data())?;
    println!(
        "NAS-Bench-201, CIFAR-10: {} cells, each string a net of its own as in the table, though some",
        rows.cells.len()
    );
    println!(
        "are isomorphic. Searched on validation accuracy after 12 epochs and on latency, known only by"
    );
    println!(
        "evaluation but where the row says so. Share of the exact front's hypervolume between the table's"
    );
    println!("worst and best values (of the same columns), over {} seeds.\n", options.seeds);
    for device in ["raspi4", "edgegpu"] {
        device_report(options, &rows, device)?;
    }
    Ok(())
}

fn device_report(options: &Options, rows: &Rows, device: &str) -> Result<(), String> {
    let column = format!("hw_c10_{device}_latency");
    let [unknown, known] = [false, true].map(|known| table(rows, "c10_val_12ep", &column, known));
    let (table, known) = (unknown?, known?);
    let costs = table.costs();
    let bounds = Bounds::of(&costs).ok_or("an empty table")?;
    let exact: Vec<Vec<f64>> = front(&costs).into_iter().map(|i| costs[i].clone()).collect();
    let whole = bounds.hypervolume(&exact);
    println!("{device}: the exact front has {} nets, hypervolume {whole:.4}\n", exact.len());
    println!("| algorithm | trials | mean ± s.e. | median | p10 | gap to the exact front, mean |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let nsga = [10, 20, 50].map(|population| Nsga2 { population, ..Nsga2::default() });
    let predictor = Predictor::default();
    let scored = scored(rows, &table.space)?;
    let (cold, warm): (&Warm, &Warm) = (&|_| vec![], &|seed| warm(&scored, seed));
    let algorithms: [(&str, &Table, Searcher, usize); 8] = [
        ("random", &table, (&Random::default(), cold), 1000),
        ("nsga2, population 10", &table, (&nsga[0], cold), 1000),
        ("nsga2, population 20", &table, (&nsga[1], cold), 1000),
        ("nsga2, population 50", &table, (&nsga[2], cold), 1000),
        ("ehvi", &table, (&Ehvi::default(), cold), 200),
        ("predictor", &table, (&predictor, cold), 500),
        ("predictor, latency known", &known, (&predictor, cold), 200),
        ("predictor, warm start", &table, (&predictor, warm), 500),
    ];
    let wanted = algorithms.into_iter().filter(|a| options.wants_algorithm(a.2.0.name()));
    for (name, problem, algorithm, most) in wanted {
        let start = Instant::now();
        let found = searches(options, problem, algorithm, most)?;
        for trials in TRIALS.into_iter().filter(|&trials| trials <= most) {
            let share = |values: &Vec<Vec<f64>>| {
                let costs: Vec<Vec<f64>> =
                    values.iter().take(trials).map(|v| table.costs_of(v)).collect();
                100.0 * bounds.hypervolume(&costs) / whole
            };
            let shares: Vec<f64> = found.iter().map(share).collect();
            let (mean, error) = mean(&shares);
            println!(
                "| {name} | {trials} | {mean:.3} ± {error:.3} % | {:.3} % | {:.3} % | {:.3} % |",
                quantile(&shares, 0.5),
                quantile(&shares, 0.1),
                100.0 - mean,
            );
        }
        eprintln!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    println!();
    Ok(())
}

/// The cells that have published scores, each with those that a search begins by. Isomorphic cells have
/// none but for one of them.
fn scored(rows: &Rows, space: &Space) -> Result<Vec<(Genome, Vec<f64>)>, String> {
    let columns = SCORES.iter().map(|name| rows.column(name)).collect::<Result<Vec<_>, _>>()?;
    let mut scored = vec![];
    for (index, cell) in rows.cells.iter().enumerate() {
        let scores: Option<Vec<f64>> = columns.iter().map(|column| column[index]).collect();
        let genome = space.genome(operators(cell)?).map_err(|e| e.to_string())?;
        scored.extend(scores.map(|scores| (genome, scores)));
    }
    Ok(scored)
}

/// As `edgecut search --warm` begins: the best quarter of some random cells by the mean rank of their scores.
fn warm(scored: &[(Genome, Vec<f64>)], seed: u64) -> Vec<Genome> {
    let mut order: Vec<usize> = (0..scored.len()).collect();
    Rng::keyed(&[seed, 0x7761_726d]).shuffle(&mut order);
    order.truncate(WARM_CELLS);
    let column = |score: usize| order.iter().map(|&cell| scored[cell].1[score]).collect();
    let best = best_quarter(&(0..SCORES.len()).map(column).collect::<Vec<Vec<f64>>>());
    best.into_iter().map(|at| scored[order[at]].0.clone()).collect()
}

/// The cells by accuracy and latency, which may be known without evaluation.
fn table(rows: &Rows, accuracy: &str, latency: &str, known: bool) -> Result<Table, String> {
    let (accuracies, latencies) = (rows.column(accuracy)?, rows.column(latency)?);
    let edges = ["0-1", "0-2", "1-2", "0-3", "1-3", "2-3"];
    let genes = edges.iter().map(|edge| Gene::unordered(edge, &OPERATORS)).collect();
    let space = Space::new(genes).map_err(|e| e.to_string())?;
    let mut places = HashMap::new();
    let mut values = vec![];
    for (cell, pair) in rows.cells.iter().zip(accuracies.into_iter().zip(latencies)) {
        let (Some(accuracy), Some(latency)) = pair else {
            return Err(format!("cell {cell}: no {accuracy} or no {latency}"));
        };
        let genome = space.genome(operators(cell)?).map_err(|e| e.to_string())?;
        places.insert(genome, values.len());
        values.push(vec![accuracy, latency]);
    }
    if space.size().map_err(|e| e.to_string())? != places.len().into() {
        return Err("the table does not hold every cell".into());
    }
    let objectives = vec![Objective::maximise("accuracy, %"), Objective::minimise("latency, ms")];
    Ok(Table { space, objectives, known: vec![false, known], places, values })
}

/// The operators of a cell such as `|none~0|+|none~0|none~1|+|none~0|none~1|none~2|`.
fn operators(cell: &str) -> Result<Vec<u16>, String> {
    let edges = cell.split(['|', '+']).filter(|edge| !edge.is_empty());
    let operator = |edge: &str| {
        let name = edge.split('~').next().unwrap_or(edge);
        let found = OPERATORS.iter().position(|&operator| operator == name);
        found.map(|index| index as u16).ok_or(format!("cell {cell}: no operator {name}"))
    };
    edges.map(operator).collect()
}
