//! The page of a training: curves, and what the trained weights confuse.

use edgecut_train::metrics::Counts;
use edgecut_train::{EpochStats, TrainOutcome};
use maud::{DOCTYPE, Markup, html};

use super::charts::{Series, confusion, lines};
use super::html::head;
use crate::settings::TrainSettings;
use crate::stats::Share;
use crate::term;

/// Classes beyond which a matrix is no picture.
const MATRIX: usize = 100;

/// What is known beside what the training returned.
pub struct Facts<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// Name of the data set.
    pub data: &'a str,
    /// What a reader must know before quoting a figure.
    pub note: Option<&'a str>,
    /// Training and test pictures.
    pub pictures: [usize; 2],
    /// Names of the classes.
    pub classes: &'a [String],
    /// How it was trained.
    pub settings: &'a TrainSettings,
}

/// The whole page.
pub fn page(outcome: &TrainOutcome, facts: &Facts) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} · edgecut training", facts.model), ""))
            body {
                main {
                    (header(outcome, facts))
                    @if let Some(note) = facts.note {
                        p.note { strong { "About the data. " } (note) }
                    }
                    (curves(&outcome.history, facts))
                    @if let Some(found) = &outcome.validation { (classes(&found.counts, facts)) }
                    (settings(facts.settings))
                }
            }
        }
    }
    .into_string()
}

fn header(outcome: &TrainOutcome, facts: &Facts) -> Markup {
    let [train, test] = facts.pictures.map(|n| term::count(n as u64));
    let pace = term::count(outcome.images_per_second.round() as u64);
    let time = std::time::Duration::from_secs_f64(outcome.seconds.clamp(0.0, 1e9));
    html! {
        header {
            p.kicker { "edgecut training report" }
            h1 { (facts.model) }
            p.lead {
                "trained on " (train) ", tested on " (test) " pictures of " (facts.data) " · "
                (outcome.history.len()) " epochs in " (term::duration(time)) " at " (pace)
                " pictures per second"
            }
            p.verdict {
                @if let Some(found) = &outcome.validation {
                    @let share = share(found.counts.top1, found.counts.total);
                    span.chip { (term::percent(share.percent)) " right, 95 % interval "
                        (format!("{:.1}–{:.1}", share.low, share.high)) }
                    @if found.counts.classes() > 5 {
                        span.chip { (term::percent(100.0 * found.counts.top5_accuracy())) " among five" }
                    }
                }
                @if let Some(before) = &outcome.before {
                    @let share = share(before.counts.top1, before.counts.total);
                    span.chip { (term::percent(share.percent)) " before" }
                }
                @if outcome.kept {
                    span.chip { "training made it worse: weights as they were before" }
                }
                @if facts.settings.patience.is_some() {
                    span.chip { "epoch chosen by this accuracy" }
                }
            }
        }
    }
}

fn share(count: u64, total: u64) -> Share {
    Share::of(count as usize, total as usize)
}

fn curves(history: &[EpochStats], facts: &Facts) -> Markup {
    let column = |f: &dyn Fn(&EpochStats) -> f64| history.iter().map(f).collect();
    let of = |name, class, values| Series { name, class, values };
    let percent = |share: Option<f64>| share.map_or(f64::NAN, |s| 100.0 * s);
    html! {
        section {
            h2 { "Curves" }
            div.charts {
                (lines("Loss", "", &[
                    of("training", "train", column(&|e| e.train_loss)),
                    of("test", "test", column(&|e| e.val_loss.unwrap_or(f64::NAN))),
                ]))
                (lines("Top-1 accuracy", " %", &[
                    of("training", "train", column(&|e| 100.0 * e.train_accuracy)),
                    of("test", "test", column(&|e| percent(e.val_accuracy))),
                ]))
                (lines("Learning rate", "", &[of("last step of the epoch", "train", column(&|e| e.lr.into()))]))
            }
            p.quiet.below {
                "Training figures are on pictures as they are varied"
                @if facts.settings.label_smoothing > 0.0 { ", with label smoothing in the loss" }
                "; they are not comparable with the test figures picture by picture."
            }
        }
    }
}

fn classes(counts: &Counts, facts: &Facts) -> Markup {
    let n = counts.classes();
    let name = |i: usize| facts.classes.get(i).cloned().unwrap_or_else(|| i.to_string());
    let percent =
        |share: Option<f64>| share.map_or("–".into(), |s| format!("{:.1} %", 100.0 * s));
    let row = |i: usize| -> u64 { counts.confusion[i * n..(i + 1) * n].iter().sum() };
    let mut worst: Vec<usize> = (0..n).filter(|&i| row(i) > 0).collect();
    let recall = |i: &usize| counts.recall(*i).unwrap_or(0.0);
    worst.sort_by(|a, b| recall(a).total_cmp(&recall(b)));
    let cell = |&count: &u64| u32::try_from(count).unwrap_or(u32::MAX);
    let matrix: Vec<Vec<u32>> =
        counts.confusion.chunks(n.max(1)).map(|row| row.iter().map(cell).collect()).collect();
    html! {
        section {
            h2 { "Classes, the hardest first" }
            div.split {
                div.scroll {
                    table {
                        thead { tr { th { "class" } th.n { "recall" } th.n { "precision" } th.n { "pictures" } } }
                        tbody {
                            @for &i in worst.iter().take(MATRIX) {
                                tr {
                                    td { (name(i)) }
                                    td.n { (percent(counts.recall(i))) }
                                    td.n { (percent(counts.precision(i))) }
                                    td.n { (term::count(row(i))) }
                                }
                            }
                        }
                    }
                }
                @if n <= MATRIX {
                    figure {
                        figcaption { strong { "Confusion" } span.quiet { " rows: true class, columns: answer" } }
                        (confusion(&matrix, facts.classes))
                    }
                }
            }
        }
    }
}

fn settings(settings: &TrainSettings) -> Markup {
    let text = toml::to_string(settings).unwrap_or_default();
    html! {
        section {
            h2 { "Settings" }
            pre { "[train]\n" (text) }
        }
    }
}

#[cfg(test)]
mod unit {
    use edgecut_train::{Ending, Evaluation};

    use super::*;

    #[test]
    fn the_page_shows_curves_and_confusions() {
        let mut counts = Counts::new(2);
        counts.add_rows(&[0.9, 0.1, 0.8, 0.2, 0.3, 0.7], &[0, 1, 1]);
        let epoch = |epoch| EpochStats {
            epoch,
            train_loss: 1.0 / epoch as f64,
            train_accuracy: 0.5,
            val_loss: Some(0.7),
            val_accuracy: Some(2.0 / 3.0),
            lr: 0.1,
            seconds: 1.0,
        };
        let outcome = TrainOutcome {
            graph: edgecut_graph::Graph::default(),
            kept: true,
            before: Some(Evaluation { loss: 0.7, counts: counts.clone() }),
            validation: Some(Evaluation { loss: 0.7, counts }),
            history: vec![epoch(1), epoch(2)],
            ending: Ending::Completed,
            memory: edgecut_train::plan::Memory::default(),
            steps: 2,
            images_per_second: 3.0,
            seconds: 2.0,
        };
        let facts = Facts {
            model: "net<1>",
            data: "set",
            note: None,
            pictures: [4, 3],
            classes: &["cat".into(), "dog".into()],
            settings: &TrainSettings::default(),
        };
        let page = page(&outcome, &facts);
        for part in [
            "66.67 % right",
            "66.67 % before",
            "made it worse",
            "polyline",
            "dog taken for cat: 1 of 2",
            "net&lt;1&gt;",
        ] {
            assert!(page.contains(part), "{part} in {page}");
        }
    }
}
