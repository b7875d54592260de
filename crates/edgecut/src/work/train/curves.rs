//! Loss and accuracy as curves of dots in the terminal.

use edgecut_train::{Event, Progress};

/// Lines of a curve; each has four rows of dots.
const ROWS: usize = 4;

/// What is drawn: `(share of the training that is done, value)`.
#[derive(Default)]
pub struct Curves {
    loss: Vec<(f64, f64)>,
    test: Vec<(f64, f64)>,
}

impl Curves {
    /// Takes in what has happened.
    pub fn add(&mut self, p: &Progress) {
        let done = (p.epoch - 1) as f64 + p.step as f64 / p.steps_per_epoch.max(1) as f64;
        let at = done / p.epochs.max(1) as f64;
        match p.event {
            // The mean of an epoch's first steps jumps about; a wide curve has 256 columns of dots.
            Event::Step
                if 5 * p.step >= p.steps_per_epoch
                    && self.loss.last().is_none_or(|last| at - last.0 > 1.0 / 256.0) =>
            {
                self.loss.push((at, p.loss));
            }
            Event::EpochEnd(stats) => {
                let at = stats.epoch as f64 / p.epochs.max(1) as f64;
                self.test.extend(stats.val_accuracy.map(|accuracy| (at, 100.0 * accuracy)));
            }
            Event::Begun(found) => self.test.push((0.0, 100.0 * found.counts.accuracy())),
            _ => {}
        }
    }

    /// Both curves side by side, each `width` characters wide; nothing before there are two points.
    pub fn draw(&self, width: usize) -> String {
        let mut text = String::new();
        if self.loss.len() < 2 {
            return text;
        }
        let panels = [("loss", &self.loss, 3), ("test accuracy, %", &self.test, 1)];
        let panels: Vec<Vec<String>> = panels
            .iter()
            .filter(|(_, points, _)| points.len() > 1)
            .map(|(name, points, digits)| panel(name, points, width, *digits))
            .collect();
        for line in 0..=ROWS {
            text.push('\n');
            panels.iter().for_each(|panel| text += &panel[line]);
        }
        text
    }
}

/// The name, then the curve with its largest and smallest value.
fn panel(name: &str, points: &[(f64, f64)], width: usize, digits: usize) -> Vec<String> {
    let finite = || points.iter().map(|p| p.1).filter(|v| v.is_finite());
    let (low, high) = finite().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(v), b.max(v)));
    let mut lines = vec![format!("{:>10} {name:<width$}", "")];
    for (row, dots) in braille(points, low, high, width).into_iter().enumerate() {
        let label = match row {
            0 => format!("{high:.digits$}"),
            _ if row == ROWS - 1 => format!("{low:.digits$}"),
            _ => String::new(),
        };
        lines.push(format!("{label:>10} {dots}"));
    }
    lines
}

/// The points in Unicode's Braille patterns, two columns by four rows of dots in a character; between
/// neighbours the curve is a line.
fn braille(points: &[(f64, f64)], low: f64, high: f64, width: usize) -> Vec<String> {
    let (columns, rows) = (2 * width, 4 * ROWS);
    let mut cells = vec![vec![0u8; width]; ROWS];
    let spread = (high - low).max(1e-12);
    let place = |&(at, value): &(f64, f64)| {
        let x = at.clamp(0.0, 1.0) * (columns - 1) as f64;
        (x, (1.0 - (value - low) / spread) * (rows - 1) as f64)
    };
    for pair in points.windows(2).filter(|w| w.iter().all(|p| p.1.is_finite())) {
        let (from, to) = (place(&pair[0]), place(&pair[1]));
        let steps = (to.0 - from.0).abs().max((to.1 - from.1).abs()).ceil().max(1.0);
        for step in 0..=steps as usize {
            let share = step as f64 / steps;
            let x = (from.0 + (to.0 - from.0) * share).round() as usize;
            let y = (from.1 + (to.1 - from.1) * share).round() as usize;
            // Dots 1, 2, 3, 7 run down the left column, 4, 5, 6, 8 down the right one.
            const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
            cells[y / 4][x / 2] |= BITS[x % 2][y % 4];
        }
    }
    let letter = |&bits: &u8| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ');
    cells.iter().map(|row| row.iter().map(letter).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_falling_line_runs_from_corner_to_corner() {
        let drawn = braille(&[(0.0, 1.0), (1.0, 0.0)], 0.0, 1.0, 8);
        assert_eq!(drawn.len(), ROWS);
        assert!(drawn.iter().all(|row| row.chars().count() == 8));
        // The first dot is the topmost left one, the last the lowest right one.
        let bits = |c: char| c as u32 - 0x2800;
        assert_eq!(bits(drawn[0].chars().next().unwrap()) & 0x01, 0x01);
        assert_eq!(bits(drawn[ROWS - 1].chars().last().unwrap()) & 0x80, 0x80);
        assert_eq!(bits(drawn[0].chars().last().unwrap()), 0);
    }

    #[test]
    fn values_that_are_no_numbers_leave_a_gap() {
        let points = [(0.0, 1.0), (0.5, f64::NAN), (0.9, 2.0), (1.0, 2.0)];
        let lines = panel("loss", &points, 10, 2);
        assert!(lines[1].contains("2.00") && lines[ROWS].contains("1.00"), "{lines:?}");
    }
}
