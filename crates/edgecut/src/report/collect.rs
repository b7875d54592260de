//! Turns answers and timings into the parts of a report.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use edgecut_train::data::{Dataset, Image};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};

use super::{Check, OperatorTime, Picture, Report, Variant};
use crate::errors::{Failure, Result};
use crate::settings::TargetSettings;
use crate::stats::{Share, Times};
use crate::work::classify::Answers;
use crate::{files, term};

/// Pictures on the page.
const PICTURES: usize = 24;
/// Of these, at most so many that the int8 model gets wrong.
const WRONG: usize = 12;
/// Larger pictures are scaled down to this side.
const SIDE: u32 = 96;

/// What was measured of a model at run time.
pub struct Measured {
    /// Latency for one picture.
    pub latency: Times,
    /// Time of every step.
    pub operators: Vec<OperatorTime>,
    /// Bytes of activations.
    pub arena_bytes: u64,
    /// Bytes of packed weights.
    pub weight_bytes: u64,
}

/// All figures of the model at `path`.
pub fn variant(
    path: &Path,
    answers: &Answers,
    classes: usize,
    measured: Measured,
) -> Result<Variant> {
    let (sha256, file_bytes) = files::digest(path)?;
    Ok(Variant {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        sha256,
        file_bytes,
        weight_bytes: measured.weight_bytes,
        arena_bytes: measured.arena_bytes,
        accuracy: answers.accuracy(),
        top5: answers.top5(),
        per_class: answers.per_class(classes),
        confusion: answers.confusion(classes),
        latency: measured.latency,
        operators: measured.operators,
    })
}

/// Every demand that is stated, with what was measured.
pub fn checks(
    target: &TargetSettings,
    float: &Variant,
    int8: &Variant,
    agreement: Share,
) -> Vec<Check> {
    let drop = float.accuracy.percent - int8.accuracy.percent;
    let kib = int8.file_bytes as f64 / 1024.0;
    let median = int8.latency.median_ms;
    // Shares of the same pictures differ by rounding only in the last bits.
    const SLACK: f64 = 1e-9;
    let at_least = |name: &str, limit: Option<f64>, value: f64, unit: &str| {
        limit.map(|limit| Check {
            name: name.into(),
            wanted: format!("at least {limit}{unit}"),
            measured: format!("{value:.2}{unit}"),
            met: value >= limit - SLACK,
        })
    };
    let at_most = |name: &str, limit: Option<f64>, value: f64, text: String, unit: &str| {
        limit.map(|limit| Check {
            name: name.into(),
            wanted: format!("at most {limit}{unit}"),
            measured: text,
            met: value <= limit + SLACK,
        })
    };
    [
        at_least("int8 accuracy", target.min_accuracy, int8.accuracy.percent, " %"),
        at_most(
            "accuracy lost to int8",
            target.max_drop,
            drop,
            format!("{drop:.2} points"),
            " points",
        ),
        at_least("same answer", target.min_agreement, agreement.percent, " %"),
        at_most(
            "int8 median latency",
            target.max_latency_ms,
            median,
            term::milliseconds(median),
            " ms",
        ),
        at_most("int8 file", target.max_size_kb, kib, format!("{kib:.1} KiB"), " KiB"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Some pictures of `set`: first those on which int8 is wrong (and float right, then both), then
/// right ones, taken evenly over the set.
pub fn pictures(set: &Arc<dyn Dataset>, float: &Answers, int8: &Answers) -> Result<Vec<Picture>> {
    let wrong = |i: &usize| int8.best[*i] != int8.labels[*i];
    let lost = |i: &usize| wrong(i) && float.best[*i] == float.labels[*i];
    let all = 0..int8.labels.len();
    let mut chosen = evenly(all.clone().filter(lost).collect(), WRONG / 2);
    let rest = WRONG - chosen.len();
    chosen.extend(evenly(all.clone().filter(|i| wrong(i) && !lost(i)).collect(), rest));
    let rest = PICTURES - chosen.len();
    chosen.extend(evenly(all.filter(|i| !wrong(i)).collect(), rest));
    let mut image = Image::default();
    chosen
        .into_iter()
        .map(|i| {
            set.read(i, &mut image)?;
            Ok(Picture {
                index: i,
                label: int8.labels[i],
                float: float.best[i],
                float_confidence: float.confidence[i].into(),
                int8: int8.best[i],
                int8_confidence: int8.confidence[i].into(),
                png: STANDARD.encode(png(&image)?),
            })
        })
        .collect()
}

/// `count` of the items, evenly spread.
fn evenly(items: Vec<usize>, count: usize) -> Vec<usize> {
    let count = count.min(items.len());
    (0..count).map(|i| items[i * items.len() / count]).collect()
}

/// A small PNG of a picture.
fn png(picture: &Image) -> Result<Vec<u8>> {
    let (w, h, pixels) = (picture.w as u32, picture.h as u32, picture.pixels.clone());
    let broken = || Failure::input("a picture of the data has no pixels");
    let picture = match picture.c {
        1 => DynamicImage::ImageLuma8(GrayImage::from_raw(w, h, pixels).ok_or_else(broken)?),
        _ => DynamicImage::ImageRgb8(RgbImage::from_raw(w, h, pixels).ok_or_else(broken)?),
    };
    let small = if w.max(h) > SIDE { picture.thumbnail(SIDE, SIDE) } else { picture };
    let mut bytes = std::io::Cursor::new(Vec::new());
    small
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| Failure::input(format!("cannot encode a picture: {e}")))?;
    Ok(bytes.into_inner())
}

/// The table at the end of a deployment.
pub fn summary(report: &Report) -> String {
    let (f, q) = (&report.float, &report.int8);
    let pair = |name: &str, float: String, int8: String, change: String| {
        vec![name.into(), float, int8, change]
    };
    let times = |a: f64, b: f64| format!("{:.2}x", a / b.max(1e-12));
    let interval = |v: &Variant| {
        format!("{:.2} % ({:.2} to {:.2})", v.accuracy.percent, v.accuracy.low, v.accuracy.high)
    };
    let memory = |v: &Variant| v.arena_bytes + v.weight_bytes;
    let rows = [
        pair(
            "top-1 (95 % interval)",
            interval(f),
            interval(q),
            format!("{:+.2} points", q.accuracy.percent - f.accuracy.percent),
        ),
        pair(
            "file",
            term::bytes(f.file_bytes),
            term::bytes(q.file_bytes),
            times(f.file_bytes as f64, q.file_bytes as f64),
        ),
        pair(
            "median latency",
            term::milliseconds(f.latency.median_ms),
            term::milliseconds(q.latency.median_ms),
            times(f.latency.median_ms, q.latency.median_ms),
        ),
        pair(
            "p99 latency",
            term::milliseconds(f.latency.p99_ms),
            term::milliseconds(q.latency.p99_ms),
            times(f.latency.p99_ms, q.latency.p99_ms),
        ),
        pair(
            "weights and activations",
            term::bytes(memory(f)),
            term::bytes(memory(q)),
            times(memory(f) as f64, memory(q) as f64),
        ),
    ];
    let mut text = term::table(&["", "float", "int8", "float / int8"], &[1, 2, 3], &rows);
    text.push_str(&format!(
        "\nsame answer on {:.2} % of {} test pictures",
        report.agreement.percent,
        term::count(report.agreement.total as u64)
    ));
    for check in &report.checks {
        let mark = if check.met { "met   " } else { "MISSED" };
        text.push_str(&format!(
            "\n{mark} {}: {}, wanted {}",
            check.name, check.measured, check.wanted
        ));
    }
    text
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::report::tests::sample;

    #[test]
    fn targets_become_checks() {
        let report = sample();
        let target = TargetSettings {
            min_accuracy: Some(89.5),
            max_drop: Some(0.4),
            max_size_kb: Some(390.0),
            ..TargetSettings::default()
        };
        let checks = checks(&target, &report.float, &report.int8, report.agreement);
        let met: Vec<(&str, bool)> = checks.iter().map(|c| (c.name.as_str(), c.met)).collect();
        assert_eq!(
            met,
            [("int8 accuracy", true), ("accuracy lost to int8", false), ("int8 file", false)]
        );
    }

    #[test]
    fn wrong_answers_come_first() {
        let set: Arc<dyn Dataset> = Arc::new(
            edgecut_train::data::Memory::new(
                vec![9; 40 * 4],
                vec![0; 40],
                [2, 2, 1],
                vec!["a".into(), "b".into()],
            )
            .unwrap(),
        );
        let answers = |wrong: std::ops::Range<usize>| Answers {
            labels: vec![0; 40],
            best: (0..40).map(|i| u32::from(wrong.contains(&i))).collect(),
            confidence: vec![50.0; 40],
            in_top5: vec![true; 40],
            classes: 2,
            seconds: 1.0,
        };
        let shown = pictures(&set, &answers(0..1), &answers(0..3)).unwrap();
        let order: Vec<usize> = shown.iter().map(|p| p.index).take(3).collect();
        assert_eq!((order, shown.len()), (vec![1, 2, 0], PICTURES));
        assert!(STANDARD.decode(&shown[0].png).unwrap().starts_with(b"\x89PNG"));
    }

    #[test]
    fn the_summary_has_all_lines() {
        let text = summary(&sample());
        for needle in ["90.00 %", "median latency", "MISSED", "same answer"] {
            assert!(text.contains(needle), "{text}");
        }
    }
}
