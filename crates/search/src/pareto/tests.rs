use edgecut_graph::rng::Rng;
use proptest::prelude::*;

use super::*;

/// Points on a coarse grid, so that equal and weakly dominated ones occur.
fn points(
    dimensions: std::ops::Range<usize>,
    count: usize,
) -> impl Strategy<Value = Vec<Vec<f64>>> {
    dimensions.prop_flat_map(move |d| {
        let point = prop::collection::vec((0u8..12).prop_map(|x| f64::from(x) / 10.0), d);
        prop::collection::vec(point, 0..count)
    })
}

/// Front by front: all whom nobody left dominates.
fn peel(points: &[Vec<f64>]) -> Vec<Vec<usize>> {
    let mut left: Vec<usize> = (0..points.len()).collect();
    let mut fronts = vec![];
    while !left.is_empty() {
        let beaten = |&i: &usize| left.iter().any(|&j| dominates(&points[j], &points[i]));
        let (rest, front): (Vec<usize>, Vec<usize>) = left.iter().partition(|i| beaten(i));
        fronts.push(front);
        left = rest;
    }
    fronts
}

/// Union of boxes by inclusion and exclusion.
fn inclusion_exclusion(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let term = |set: usize| {
        let corner = |axis: usize| {
            let members = (0..points.len()).filter(|i| set >> i & 1 == 1);
            members.map(|i| points[i][axis]).fold(f64::NEG_INFINITY, f64::max)
        };
        let volume: f64 =
            (0..reference.len()).map(|axis| (reference[axis] - corner(axis)).max(0.0)).product();
        if set.count_ones() % 2 == 1 { volume } else { -volume }
    };
    (1..1usize << points.len()).map(term).sum()
}

proptest! {
    #[test]
    fn dominance_is_a_strict_partial_order(p in points(1..4, 8)) {
        for a in &p {
            prop_assert!(!dominates(a, a));
            for b in &p {
                prop_assert!(!(dominates(a, b) && dominates(b, a)));
                for c in &p {
                    prop_assert!(!(dominates(a, b) && dominates(b, c)) || dominates(a, c));
                }
            }
        }
    }

    #[test]
    fn the_sort_is_that_of_its_plain_twin(p in points(1..5, 40)) {
        let fronts = non_dominated_sort(&p);
        prop_assert_eq!(&fronts, &peel(&p));
        prop_assert_eq!(front(&p), fronts.first().cloned().unwrap_or_default());
    }

    #[test]
    fn who_breaks_limits_by_less_comes_first(p in points(2..3, 20), seed: u64) {
        let mut rng = Rng::new(seed);
        let standing = |costs: &Vec<f64>| {
            Standing { violation: rng.below(3) as f64, costs: costs.clone() }
        };
        let standings: Vec<Standing> = p.iter().map(standing).collect();
        // Violation as a first cost that outweighs all others: lexicographic dominance.
        let beats = |a: &Standing, b: &Standing| {
            a.violation < b.violation || a.violation == b.violation && dominates(&a.costs, &b.costs)
        };
        let fronts = constrained_sort(&standings);
        prop_assert_eq!(fronts.iter().map(Vec::len).sum::<usize>(), p.len());
        for (rank, members) in fronts.iter().enumerate() {
            for &i in members {
                let beaten_here = members.iter().any(|&j| beats(&standings[j], &standings[i]));
                prop_assert!(!beaten_here);
                let beaten_before = rank == 0
                    || fronts[rank - 1].iter().any(|&j| beats(&standings[j], &standings[i]));
                prop_assert!(beaten_before);
            }
        }
    }

    #[test]
    fn hypervolume_is_that_of_inclusion_and_exclusion(p in points(1..6, 9)) {
        let reference = vec![1.0; p.first().map_or(2, Vec::len)];
        let (fast, slow) = (hypervolume(&p, &reference), inclusion_exclusion(&p, &reference));
        prop_assert!((fast - slow).abs() < 1e-9, "{fast} {slow}");
    }

    #[test]
    fn contributions_are_what_is_lost(p in points(2..4, 8)) {
        let reference = vec![1.0; p.first().map_or(2, Vec::len)];
        let lost = contributions(&p, &reference);
        for (i, lost) in lost.iter().enumerate() {
            let mut rest = p.clone();
            rest.remove(i);
            let without = hypervolume(&p, &reference) - hypervolume(&rest, &reference);
            prop_assert!((lost - without).abs() < 1e-12 && *lost >= 0.0);
        }
    }
}

#[test]
fn hypervolume_of_many_points_is_that_of_a_sample() {
    for dimensions in [2, 3, 4] {
        let mut rng = Rng::new(dimensions as u64);
        let draw = |rng: &mut Rng| -> Vec<f64> {
            (0..dimensions).map(|_| f64::from(rng.uniform())).collect()
        };
        let points: Vec<Vec<f64>> = (0..40).map(|_| draw(&mut rng)).collect();
        let samples = 20_000;
        let covered = |at: &Vec<f64>| points.iter().any(|p| p.iter().zip(at).all(|(p, x)| p <= x));
        let hits = (0..samples).filter(|_| covered(&draw(&mut rng))).count();
        let (share, exact) =
            (hits as f64 / f64::from(samples), hypervolume(&points, &vec![1.0; dimensions]));
        // Four standard errors of a share of 20,000 are at most 4 sqrt(1/4 / 20,000) = 0.0142.
        assert!((share - exact).abs() < 0.0142, "{dimensions}: {share} {exact}");
    }
}

#[test]
fn crowding_is_infinite_at_the_ends_and_a_sum_of_gaps_inside() {
    let front = [[0.0, 1.0], [0.25, 0.5], [1.0, 0.0]];
    assert_eq!(crowding(&front), [f64::INFINITY, 2.0, f64::INFINITY]);
    assert_eq!(crowding(&[[1.0, 2.0]]), [0.0]);
    assert_eq!(crowding::<[f64; 2]>(&[]), [0.0; 0]);
}

#[test]
fn normalised_costs_are_between_ideal_and_reference() {
    let points = [[1.0, 30.0], [3.0, 10.0], [2.0, f64::INFINITY]];
    let bounds = Bounds::of(&points).unwrap();
    assert_eq!(
        (bounds.ideal.as_slice(), bounds.reference.as_slice()),
        (&[1.0, 10.0][..], &[3.0, 30.0][..])
    );
    assert_eq!(bounds.normalise(&[2.0, 20.0]), [0.5, 0.5]);
    assert_eq!(bounds.hypervolume(&[[2.0, 20.0]]), 0.25);
    assert!(Bounds::of::<[f64; 2]>(&[]).is_none());
}

#[test]
fn a_subset_takes_what_dominates_most_first() {
    let points = [[0.0, 0.9], [0.5, 0.5], [0.9, 0.0], [0.6, 0.6]];
    assert_eq!(subset(&points, &[1.0, 1.0], vec![], 3), [1, 0, 2]);
    assert_eq!(subset(&points, &[1.0, 1.0], vec![2], 2), [2, 1]);
    assert_eq!(subset(&points, &[1.0, 1.0], vec![], 9).len(), 4);
    assert!(subset(&points, &[1.0, 1.0], vec![], 0).is_empty());
}
