//! What the judge says, and what may be concluded from it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use edgecut_graph::rng::Rng;
use serde::{Deserialize, Serialize};

use super::contender::Tools;
use super::finish;
use super::subject::Files;

/// Samples of the bootstrap: the ends of a 95 % interval then stand for 250 samples each.
const SAMPLES: usize = 10_000;

/// An int8 model; what was not measured is `None`, and `note` says why.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Row {
    pub model: String,
    pub quantiser: String,
    pub version: Option<String>,
    /// How long quantisation took, where it was done in this run.
    pub seconds: Option<f64>,
    /// For each picture, whether the first class is the float model's.
    pub same: Option<Vec<bool>>,
    /// Sum of squares of the float model's outputs.
    pub signal: Option<f64>,
    /// Sum of squares of the differences to them.
    pub noise: Option<f64>,
    pub note: Option<String>,
    #[serde(skip)]
    pub file: Option<PathBuf>,
}

impl Row {
    pub fn new(model: &str, quantiser: &str) -> Row {
        Row { model: model.into(), quantiser: quantiser.into(), ..Row::default() }
    }

    pub fn key(&self) -> (&str, &str) {
        (&self.model, &self.quantiser)
    }

    pub fn failed(self, note: String) -> Row {
        Row { note: Some(note), ..self }
    }

    pub fn with_file(self, file: PathBuf) -> Row {
        Row { file: Some(file), ..self }
    }

    pub fn is_edgecut(&self) -> bool {
        self.quantiser.starts_with("edgecut")
    }

    /// Adds what the same quantiser did with other pictures.
    pub fn join(&mut self, other: Row) {
        let sum = |a: Option<f64>, b: Option<f64>| Some(a? + b?);
        self.same = match (self.same.take(), other.same) {
            (Some(a), Some(b)) => Some([a, b].concat()),
            _ => None,
        };
        self.signal = sum(self.signal, other.signal);
        self.noise = sum(self.noise, other.noise);
        self.seconds = sum(self.seconds, other.seconds);
        self.note = self.note.take().or(other.note);
    }

    /// Percent of the pictures with the float model's first class.
    pub fn agreement(&self) -> Option<f64> {
        let same = self.same.as_ref()?;
        Some(100.0 * same.iter().filter(|&&s| s).count() as f64 / same.len() as f64)
    }

    /// Signal to quantisation noise ratio of the outputs in dB.
    pub fn sqnr(&self) -> Option<f64> {
        Some(10.0 * (self.signal? / self.noise?).log10())
    }
}

#[derive(Deserialize)]
struct Score {
    same: Option<Vec<bool>>,
    signal: Option<f64>,
    noise: Option<f64>,
    error: Option<String>,
}

/// Has ONNX Runtime run the model of every row that has one, and enters what comes out.
pub fn judge(tools: &Tools, files: &Files, rows: &mut [Row]) -> Result<(), String> {
    let out = files.folder.join("scores.json");
    let mut command = tools.python("duel_score.py");
    command.arg(&files.float).arg(files.evaluation()).arg(&out);
    command.args(rows.iter().filter_map(|row| row.file.as_ref()));
    finish(command).map_err(|e| format!("the judge: {e}"))?;
    let text = std::fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let mut scores: BTreeMap<PathBuf, Score> =
        serde_json::from_str(&text).map_err(|e| format!("{}: {e}", out.display()))?;
    for row in rows {
        let Some(score) = row.file.take().and_then(|file| scores.remove(&file)) else { continue };
        (row.same, row.signal, row.noise) = (score.same, score.signal, score.noise);
        row.note = row.note.take().or(score.error.map(|e| format!("failed: {e}")));
    }
    Ok(())
}

/// Percent by which `ours` agrees more often than `theirs` on the same pictures: the difference and
/// a 95 % interval of it (paired bootstrap: pictures are drawn with replacement).
pub fn lead(ours: &[bool], theirs: &[bool]) -> Option<(f64, f64, f64)> {
    if ours.len() != theirs.len() || ours.is_empty() {
        return None;
    }
    let gains: Vec<i64> =
        ours.iter().zip(theirs).map(|(&a, &b)| i64::from(a) - i64::from(b)).collect();
    let percent = |sum: i64| 100.0 * sum as f64 / gains.len() as f64;
    let mut rng = Rng::keyed(&[1, gains.len() as u64]);
    let mut drawn: Vec<i64> = (0..SAMPLES)
        .map(|_| (0..gains.len()).map(|_| gains[rng.below(gains.len())]).sum())
        .collect();
    drawn.sort_unstable();
    let (low, high) = (drawn[SAMPLES / 40], drawn[SAMPLES - 1 - SAMPLES / 40]);
    Some((percent(gains.iter().sum()), percent(low), percent(high)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_is_certain_only_where_pictures_show_it() {
        let all = vec![true; 400];
        let most: Vec<bool> = (0..400).map(|i| i % 20 != 0).collect();
        let (difference, low, high) = lead(&all, &most).unwrap();
        assert_eq!(difference, 5.0);
        // Binomial: 5 % of 400 has a standard deviation of 1.09 points.
        assert!((2.5..3.5).contains(&low) && (6.5..7.8).contains(&high), "{low} {high}");
        let (difference, low, high) = lead(&most, &most).unwrap();
        assert_eq!((difference, low, high), (0.0, 0.0, 0.0));
        // One picture more, one less: nothing is certain.
        let (mut a, mut b) = (all.clone(), all);
        (a[0], b[1]) = (false, false);
        let (difference, low, high) = lead(&a, &b).unwrap();
        assert!(difference == 0.0 && low < 0.0 && high > 0.0);
    }

    #[test]
    fn rounds_are_joined() {
        let row = |same: bool, noise: f64| Row {
            same: Some(vec![same]),
            signal: Some(50.0),
            noise: Some(noise),
            ..Row::new("m", "q")
        };
        let mut all = row(true, 0.5);
        all.join(row(false, 0.5));
        assert_eq!((all.agreement(), all.sqnr()), (Some(50.0), Some(20.0)));
        all.join(Row::new("m", "q").failed("failed".into()));
        assert_eq!((all.agreement(), all.note.as_deref()), (None, Some("failed")));
    }
}
