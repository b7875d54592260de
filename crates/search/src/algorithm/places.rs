//! Costs as places along a front, so that every stretch of it counts alike.

use crate::pareto::front;

/// How much the sum of the places counts beside the largest of them, so that among nets of equal largest
/// one the better wins (augmented Chebyshev scalarisation: Steuer, Choo 1983; Knowles 2006).
const SUM: f64 = 0.05;

/// How far beyond the front's best a place may be, as a part of the front.
const BEYOND: f64 = 0.5;

/// The costs of a front, sorted one by one.
pub struct Places {
    sorted: Vec<Vec<f64>>,
}

impl Places {
    /// Those of the front of `points`, at least one.
    pub fn of(points: &[&[f64]]) -> Places {
        let members = front(points);
        let sorted = |axis: usize| {
            let mut costs: Vec<f64> = members.iter().map(|&i| points[i][axis]).collect();
            costs.sort_by(f64::total_cmp);
            costs.dedup();
            costs
        };
        Places { sorted: (0..points[0].len()).map(sorted).collect() }
    }

    /// The place of a cost: below 0 if it is better than all of the front, above 1 if it is worse, and
    /// between the share of the front that is better.
    fn place(&self, axis: usize, cost: f64) -> f64 {
        let costs = &self.sorted[axis];
        let (count, last) = (costs.len(), costs.len() - 1);
        if last == 0 {
            return (cost - costs[0]).clamp(-1.0, 1.0);
        }
        let share = 1.0 / count as f64;
        match costs.partition_point(|&c| c < cost) {
            0 => {
                // A step is what the next two of the front are apart.
                let next = last.min(2);
                let step = (costs[next] - costs[0]) / next as f64;
                ((cost - costs[0]) / step * share).max(-BEYOND)
            }
            all if all == count => 1.0 + (cost - costs[last]) / (costs[last] - costs[0]),
            next => {
                let (from, to) = (costs[next - 1], costs[next]);
                ((next - 1) as f64 + (cost - from) / (to - from)) * share
            }
        }
    }

    /// How far `costs` are from the best in the direction of `weights`; smaller is better.
    pub fn distance(&self, costs: &[f64], weights: &[f64]) -> f64 {
        let weighted: Vec<f64> =
            (0..costs.len()).map(|axis| self.place(axis, costs[axis]) * weights[axis]).collect();
        let largest = weighted.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest + SUM * weighted.iter().sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_from_the_best_of_the_front_to_its_worst() {
        let points: [&[f64]; 5] = [&[1.0, 9.0], &[2.0, 5.0], &[4.0, 4.0], &[8.0, 1.0], &[9.0, 9.0]];
        let places = Places::of(&points);
        let place = |cost: f64| places.place(0, cost);
        assert_eq!([place(1.0), place(2.0), place(3.0), place(8.0)], [0.0, 0.25, 0.375, 0.75]);
        assert!(place(0.5) < 0.0 && place(-1e9) == -0.5 && place(15.0) == 2.0);
        let one = Places::of(&[&[3.0]]);
        assert!(one.place(0, 2.5) < one.place(0, 3.0) && one.place(0, 3.0) < one.place(0, 4.0));
    }

    #[test]
    fn weights_say_which_end_of_a_front_is_near() {
        let points: [&[f64]; 3] = [&[0.0, 2.0], &[1.0, 1.0], &[2.0, 0.0]];
        let places = Places::of(&points);
        let nearest = |weights: [f64; 2]| {
            let distance = |i: &usize| places.distance(points[*i], &weights);
            (0..3).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap()
        };
        assert_eq!([nearest([0.9, 0.1]), nearest([0.5, 0.5]), nearest([0.1, 0.9])], [0, 1, 2]);
    }
}
