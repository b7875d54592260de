//! Losses of logits against a teacher's, for each row, in float64.

use super::AnswerLoss;

/// Probabilities below this count as this: their logarithm stays finite.
const LEAST: f64 = 1e-12;

/// Mean loss of the rows of `student` against those of `teacher`, both `[n, classes]`. Its gradient
/// times `weight` is added to `d_student`. The decoupled loss separates the class that `labels` name.
///
/// # Panics
/// If the sizes do not match or a label is not below `classes`.
pub fn answer_loss(
    loss: AnswerLoss,
    classes: usize,
    student: &[f32],
    teacher: &[f32],
    labels: &[u32],
    weight: f32,
    d_student: &mut [f32],
) -> f64 {
    assert!(student.len() == teacher.len() && student.len() == d_student.len());
    assert_eq!(student.len(), labels.len() * classes, "one label per row");
    let n = labels.len().max(1) as f64;
    let mut sum = 0.0;
    let rows = student.chunks_exact(classes).zip(teacher.chunks_exact(classes));
    for (((s, t), d), &label) in rows.zip(d_student.chunks_exact_mut(classes)).zip(labels) {
        let (value, gradient) = match loss {
            AnswerLoss::Soft { temperature } => soft(s, t, temperature.into()),
            AnswerLoss::Decoupled { temperature, target, others } => {
                let weights = [target.into(), others.into()];
                decoupled(s, t, label as usize, temperature.into(), weights)
            }
        };
        sum += value;
        let scale = f64::from(weight) / n;
        d.iter_mut().zip(gradient).for_each(|(d, g)| *d += (scale * g) as f32);
    }
    sum / n
}

/// Softmax of the numbers for which `keep` holds, divided by `temperature`; 0 for the others.
fn softmax(x: &[f32], temperature: f64, keep: impl Fn(usize) -> bool) -> Vec<f64> {
    let kept = || x.iter().enumerate().filter(|(i, _)| keep(*i));
    let max = kept().fold(f64::MIN, |max, (_, &x)| max.max(x.into()));
    let mut powers = vec![0.0; x.len()];
    kept().for_each(|(i, &x)| powers[i] = libm::exp((f64::from(x) - max) / temperature));
    let sum: f64 = powers.iter().sum();
    powers.iter_mut().for_each(|p| *p /= sum);
    powers
}

/// `sum(t ln(t / s))`
fn divergence(t: &[f64], s: &[f64]) -> f64 {
    let term = |(&t, &s): (&f64, &f64)| t * (libm::log(t.max(LEAST)) - libm::log(s.max(LEAST)));
    t.iter().zip(s).map(term).sum()
}

/// T^2 KL, whose gradient is T (s - t).
fn soft(s: &[f32], t: &[f32], temperature: f64) -> (f64, Vec<f64>) {
    let (s, t) = (softmax(s, temperature, |_| true), softmax(t, temperature, |_| true));
    let gradient = s.iter().zip(&t).map(|(s, t)| temperature * (s - t)).collect();
    (temperature * temperature * divergence(&t, &s), gradient)
}

/// T^2 (a KL of (right, rest) + b KL of the rest).
///
/// With p = softmax(s / T) and y the label: d ln p_y = (delta_y - p) / T and
/// d ln (1 - p_y) = -p_y / (1 - p_y) (delta_y - p) / T.
fn decoupled(
    s: &[f32],
    t: &[f32],
    label: usize,
    temperature: f64,
    [target, others]: [f64; 2],
) -> (f64, Vec<f64>) {
    let (p, q) = (softmax(s, temperature, |_| true), softmax(t, temperature, |_| true));
    let rest = |i: usize| i != label;
    let (p_rest, q_rest) = (softmax(s, temperature, rest), softmax(t, temperature, rest));
    let (right, taught) = (p[label].clamp(LEAST, 1.0 - LEAST), q[label]);
    let binary = divergence(&[taught, 1.0 - taught], &[right, 1.0 - right]);
    let inner = divergence(&q_rest, &p_rest);
    let slope = taught - (1.0 - taught) * right / (1.0 - right);
    let gradient = (0..s.len()).map(|i| {
        let towards = if i == label { 1.0 - p[i] } else { -p[i] };
        temperature * (others * (p_rest[i] - q_rest[i]) - target * slope * towards)
    });
    let square = temperature * temperature;
    (square * (target * binary + others * inner), gradient.collect())
}

#[cfg(test)]
mod tests {
    use edgecut_graph::rng::Rng;

    use super::super::check_gradient;
    use super::*;

    #[test]
    fn gradients_are_those_of_differences() {
        let (n, classes) = (3, 5);
        let mut rng = Rng::new(3);
        let mut draw = || -> Vec<f32> { (0..n * classes).map(|_| 2.0 * rng.normal()).collect() };
        let (student, teacher) = (draw(), draw());
        let labels = [4, 0, 2];
        for loss in [
            AnswerLoss::Soft { temperature: 4.0 },
            AnswerLoss::Decoupled { temperature: 2.0, target: 1.0, others: 8.0 },
        ] {
            let value = |s: &[f32], weight: f32, d: &mut [f32]| {
                answer_loss(loss, classes, s, &teacher, &labels, weight, d)
            };
            let mut gradient = vec![0.0; student.len()];
            value(&student, 1.0, &mut gradient);
            let alone = |s: &[f32]| value(s, 0.0, &mut vec![0.0; s.len()]);
            check_gradient(&student, alone, &gradient);
            assert!(value(&teacher, 0.0, &mut vec![0.0; n * classes]).abs() < 1e-9, "{loss:?}");
        }
    }

    /// Both parts together are the whole divergence where the second has the weight 1 - t_y.
    #[test]
    fn the_parts_add_up_to_the_whole() {
        let (s, t) = ([0.3f32, -1.0, 2.0], [1.0f32, 0.5, -0.2]);
        let rest = 1.0 - softmax(&t, 1.0, |_| true)[0];
        let (parts, _) = decoupled(&s, &t, 0, 1.0, [1.0, rest]);
        assert!((parts - soft(&s, &t, 1.0).0).abs() < 1e-12);
    }
}
