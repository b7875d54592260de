//! How lonely points of a front are.

/// Crowding distance of each point of one front (Deb et al. 2002): for each cost the gap between both
/// neighbours over the range of the front, added up; infinite at the ends. Costs in which all points
/// are equal say nothing.
pub fn crowding<P: AsRef<[f64]>>(front: &[P]) -> Vec<f64> {
    let mut distance = vec![0.0; front.len()];
    let costs = front.first().map_or(0, |p| p.as_ref().len());
    for axis in 0..costs {
        let value = |i: usize| front[i].as_ref()[axis];
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|&a, &b| value(a).total_cmp(&value(b)).then(a.cmp(&b)));
        let (first, last) = (order[0], order[order.len() - 1]);
        let range = value(last) - value(first);
        if range <= 0.0 || !range.is_finite() {
            continue;
        }
        distance[first] = f64::INFINITY;
        distance[last] = f64::INFINITY;
        for triple in order.windows(3) {
            distance[triple[1]] += (value(triple[2]) - value(triple[0])) / range;
        }
    }
    distance
}
