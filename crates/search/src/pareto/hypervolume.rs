//! How much a set of points dominates.

use super::front;

/// Volume of what `points` dominate, up to `reference` (each cost smaller is better); points that are
/// not better than `reference` in every cost add nothing.
///
/// Exact in any dimension: a sweep for two costs, WFG (While, Bradstreet, Barone 2012) for more.
pub fn hypervolume<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> f64 {
    let inside = |p: &&[f64]| p.iter().zip(reference).all(|(x, r)| x < r);
    let inside: Vec<&[f64]> = points.iter().map(AsRef::as_ref).filter(inside).collect();
    match reference {
        [] => 0.0,
        [reference] => inside.iter().map(|p| reference - p[0]).fold(0.0, f64::max),
        [x, y] => sweep(inside.iter().map(|p| (p[0], p[1])).collect(), (*x, *y)),
        _ => wfg(inside.into_iter().map(<[f64]>::to_vec).collect(), reference),
    }
}

/// What the hypervolume would lose without each of `points`.
pub fn contributions<P: AsRef<[f64]>>(points: &[P], reference: &[f64]) -> Vec<f64> {
    let all: Vec<&[f64]> = points.iter().map(AsRef::as_ref).collect();
    let whole = hypervolume(&all, reference);
    let without = |i: usize| {
        let rest = [&all[..i], &all[i + 1..]].concat();
        (whole - hypervolume(&rest, reference)).max(0.0)
    };
    (0..all.len()).map(without).collect()
}

/// `chosen`, and others of `points` up to `count`, one after the other: each dominates the most that
/// those before it do not (greedy hypervolume subset selection; begun with none it is within 1 - 1/e of
/// the best subset, as the volume is submodular). Of equal ones the first.
pub fn subset<P: AsRef<[f64]>>(
    points: &[P],
    reference: &[f64],
    mut chosen: Vec<usize>,
    count: usize,
) -> Vec<usize> {
    while chosen.len() < count.min(points.len()) {
        let volume = |extra: usize| {
            let with = chosen.iter().chain([&extra]).map(|&i| points[i].as_ref());
            hypervolume(&with.collect::<Vec<&[f64]>>(), reference)
        };
        let left = (0..points.len()).filter(|i| !chosen.contains(i));
        let Some(next) = left.max_by(|&a, &b| volume(a).total_cmp(&volume(b)).then(b.cmp(&a)))
        else {
            break;
        };
        chosen.push(next);
    }
    chosen
}

/// From the smallest first cost on, each point that lowers the second adds a rectangle.
fn sweep(mut points: Vec<(f64, f64)>, reference: (f64, f64)) -> f64 {
    points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let mut lowest = reference.1;
    let mut volume = 0.0;
    for (x, y) in points {
        if y < lowest {
            volume += (reference.0 - x) * (lowest - y);
            lowest = y;
        }
    }
    volume
}

/// The box of each point, less what later points dominate of it.
fn wfg(points: Vec<Vec<f64>>, reference: &[f64]) -> f64 {
    if let [x, y] = *reference {
        return sweep(points.iter().map(|p| (p[0], p[1])).collect(), (x, y));
    }
    let last = reference.len() - 1;
    // Behind a point all have a smaller last cost, so a box is a slab: its last side is a factor.
    let mut kept = distinct_front(points);
    kept.sort_by(|a, b| b[last].total_cmp(&a[last]));
    let mut volume = 0.0;
    for (index, point) in kept.iter().enumerate() {
        let limit = |other: &Vec<f64>| -> Vec<f64> {
            other[..last].iter().zip(point).map(|(o, p)| o.max(*p)).collect()
        };
        let overlap = wfg(kept[index + 1..].iter().map(limit).collect(), &reference[..last]);
        let area: f64 = point[..last].iter().zip(reference).map(|(p, r)| r - p).product();
        volume += (reference[last] - point[last]) * (area - overlap);
    }
    volume
}

fn distinct_front(mut points: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    points.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    points.dedup();
    let kept = front(&points);
    kept.into_iter().map(|i| std::mem::take(&mut points[i])).collect()
}
