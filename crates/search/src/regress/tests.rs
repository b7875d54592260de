use edgecut_graph::rng::Rng;

use super::*;
use crate::space::{Gene, Genome, Space};

fn space() -> Space {
    let mut genes: Vec<Gene> = vec![Gene::ordered("depth", &["1", "2", "3", "4"])];
    let names: Vec<String> = (0..4).map(|i| format!("op{i}")).collect();
    let ops = names.iter().enumerate();
    genes.extend(ops.map(|(i, n)| Gene::unordered(n, &["a", "b", "c"]).when(0, &[i as u16, 3])));
    Space::new(genes).unwrap()
}

/// Main effects, an effect of depth, and one interaction.
fn truth(genome: &Genome) -> f64 {
    let c = genome.choices();
    let sum: f64 = c[1..].iter().map(|&x| [0.0, 1.0, 3.0][usize::from(x)]).sum();
    sum - 2.0 * f64::from(c[0]) + f64::from(c[1] == 2 && c[2] == 1)
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let cov: f64 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
    let var = |x: &[f64], m: f64| x.iter().map(|v| (v - m).powi(2)).sum::<f64>();
    cov / (var(a, ma) * var(b, mb)).sqrt()
}

#[test]
fn boosted_trees_predict_nets_that_they_have_not_seen() {
    let space = space();
    let mut rng = Rng::new(5);
    let mut draw = |n: usize| (0..n).map(|_| space.sample(&mut rng)).collect::<Vec<Genome>>();
    let (seen, unseen) = (draw(80), draw(100));
    let number = |g: &Genome| vec![truth(g) * truth(g)];
    for with_numbers in [false, true] {
        let numbers = |g: &Genome| if with_numbers { number(g) } else { vec![] };
        let known: Vec<Vec<f64>> = seen.iter().map(numbers).collect();
        let binning = Binning::new(&space, &known);
        let row = |g: &Genome| binning.row(&space, g, &numbers(g));
        let rows: Vec<Row> = seen.iter().map(row).collect();
        let targets: Vec<f64> = seen.iter().map(truth).collect();
        let model = Boosted::fit(&binning, &rows, &targets, Boosting::default(), 1);
        let mean = |g: &Genome| {
            let members = model.predict(&row(g));
            members.iter().sum::<f64>() / members.len() as f64
        };
        let predicted: Vec<f64> = unseen.iter().map(mean).collect();
        let real: Vec<f64> = unseen.iter().map(truth).collect();
        let found = correlation(&predicted, &real);
        assert!(found > 0.9, "{with_numbers}: {found}");
    }
}

#[test]
fn one_result_and_equal_results_are_predicted_as_they_are() {
    let space = space();
    let genome = space.sample(&mut Rng::new(1));
    let binning = Binning::new(&space, &[vec![1.0]]);
    let row = binning.row(&space, &genome, &[7.0]);
    for count in [1, 20] {
        let rows = vec![row.clone(); count];
        let model = Boosted::fit(&binning, &rows, &vec![2.5; count], Boosting::default(), 1);
        assert!(model.predict(&row).iter().all(|&x| x == 2.5));
    }
}
