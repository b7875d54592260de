//! Costs of different units on one scale.

/// The scale of costs: 0 at the ideal point, 1 at the reference point.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The best of each cost.
    pub ideal: Vec<f64>,
    /// What is just not worth anything, of each cost.
    pub reference: Vec<f64>,
}

impl Bounds {
    /// Best and worst of each cost of `points`; `None` without finite points.
    pub fn of<P: AsRef<[f64]>>(points: &[P]) -> Option<Bounds> {
        let finite = |p: &&P| p.as_ref().iter().all(|x| x.is_finite());
        let mut finite = points.iter().filter(finite).map(AsRef::as_ref);
        let first = finite.next()?.to_vec();
        let mut bounds = Bounds { ideal: first.clone(), reference: first };
        for point in finite {
            for (axis, &x) in point.iter().enumerate() {
                bounds.ideal[axis] = bounds.ideal[axis].min(x);
                bounds.reference[axis] = bounds.reference[axis].max(x);
            }
        }
        Some(bounds)
    }

    /// `costs` on the scale. A cost whose best and worst are equal is only shifted.
    pub fn normalise(&self, costs: &[f64]) -> Vec<f64> {
        let sides = self.ideal.iter().zip(&self.reference);
        let scale = |(&cost, (&ideal, &reference)): (&f64, (&f64, &f64))| {
            let range = reference - ideal;
            (cost - ideal) / if range > 0.0 { range } else { 1.0 }
        };
        costs.iter().zip(sides).map(scale).collect()
    }

    /// The part, in 0..=1, of the box between ideal and reference point that `points` dominate.
    pub fn hypervolume<P: AsRef<[f64]>>(&self, points: &[P]) -> f64 {
        let scaled: Vec<Vec<f64>> = points.iter().map(|p| self.normalise(p.as_ref())).collect();
        super::hypervolume(&scaled, &vec![1.0; self.reference.len()])
    }
}
