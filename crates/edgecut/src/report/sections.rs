//! The longer sections of the page: training curves, classes, operators, pictures, reproduction.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::charts::{Series, confusion, lines, pair_bars, shorten};
use super::{OperatorTime, Picture, Report, Variant};
use crate::term;

/// Loss and accuracy over epochs.
pub fn training(report: &Report) -> Markup {
    let facts = &report.training;
    let column = |f: fn(&super::Epoch) -> f64| facts.history.iter().map(f).collect();
    let of = |name, class, values| Series { name, class, values };
    html! {
        section {
            h2 { "Training" }
            div.charts {
                (lines("Loss", "", &[
                    of("training", "train", column(|e| e.train_loss)),
                    of("test", "test", column(|e| e.test_loss)),
                ]))
                (lines("Top-1 accuracy", " %", &[
                    of("training", "train", column(|e| e.train_accuracy)),
                    of("test", "test", column(|e| e.test_accuracy)),
                ]))
            }
            p.quiet.below {
                (facts.history.len()) " epochs at " (term::count(facts.images_per_second.round() as u64))
                " pictures per second, seed " (report.recipe.train.seed) ". "
                "Training figures are on augmented pictures, with label smoothing in the loss; they are not comparable with the test figures picture by picture."
            }
        }
    }
}

/// Precision and recall per class, and who is taken for whom.
pub fn classes(report: &Report) -> Markup {
    let (f, q) = (&report.float, &report.int8);
    const SHOWN: usize = 40;
    html! {
        section {
            h2 { "Classes" }
            div.split {
                div.scroll {
                    table {
                        thead {
                            tr { th {} th.n colspan="2" { "recall" } th.n colspan="2" { "precision" } th.n {} }
                            tr { th { "class" } th.n { span.tag.float { "float" } } th.n { span.tag.int8 { "int8" } }
                                 th.n { span.tag.float { "float" } } th.n { span.tag.int8 { "int8" } } th.n { "pictures" } }
                        }
                        tbody {
                            @for (i, (a, b)) in f.per_class.iter().zip(&q.per_class).enumerate().take(SHOWN) {
                                tr {
                                    td { (report.class(i as u32)) }
                                    td.n { (one(a.recall.percent)) } td.n { (one(b.recall.percent)) }
                                    td.n { (one(a.precision.percent)) } td.n { (one(b.precision.percent)) }
                                    td.n { (a.recall.total) }
                                }
                            }
                        }
                    }
                    @if f.per_class.len() > SHOWN {
                        p.quiet { "The first " (SHOWN) " of " (f.per_class.len()) " classes; report.json has all." }
                    }
                }
                @if !q.confusion.is_empty() {
                    figure {
                        figcaption { strong { "Confusion of the int8 model" } span.quiet { " rows: true class, columns: answer" } }
                        (confusion(&q.confusion, &report.data.classes))
                    }
                }
            }
        }
    }
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

/// Sum of the steps of one kind.
#[derive(Default)]
struct Kind {
    float: (usize, f64),
    int8: (usize, f64),
}

/// Time by kind of operator, and step by step.
pub fn operators(report: &Report) -> Markup {
    let mut kinds: BTreeMap<&str, Kind> = BTreeMap::new();
    let add = |slot: &mut (usize, f64), us: f64| *slot = (slot.0 + 1, slot.1 + us);
    for o in &report.float.operators {
        add(&mut kinds.entry(family(&o.kind)).or_default().float, o.median_us);
    }
    for o in &report.int8.operators {
        add(&mut kinds.entry(family(&o.kind)).or_default().int8, o.median_us);
    }
    let mut rows: Vec<(&str, Kind)> = kinds.into_iter().collect();
    let longest = |k: &Kind| k.float.1.max(k.int8.1);
    rows.sort_by(|a, b| longest(&b.1).total_cmp(&longest(&a.1)));
    let scale = rows.first().map_or(1.0, |r| longest(&r.1)).max(1e-9);
    html! {
        section {
            h2 { "Where the time goes" }
            div.scroll {
                table {
                    thead { tr { th { "operator" } th.n { span.tag.float { "float" } } th.n { span.tag.int8 { "int8" } } th {} } }
                    tbody {
                        @for (kind, times) in &rows {
                            tr {
                                td { (kind) }
                                td.n { (time(times.float)) }
                                td.n { (time(times.int8)) }
                                td.wide { div style=(format!("width:{:.1}%", 100.0 * longest(times) / scale)) { (pair_bars(times.float.1, times.int8.1)) } }
                            }
                        }
                    }
                }
            }
            div.split {
                (steps("Every step of the float model", &report.float))
                (steps("Every step of the int8 model", &report.int8))
            }
        }
    }
}

/// `conv.int8` and `conv` stand in one row.
fn family(kind: &str) -> &str {
    kind.split('.').next().unwrap_or(kind)
}

fn time((steps, us): (usize, f64)) -> Markup {
    html! {
        @if steps == 0 { "–" } @else { (format!("{us:.1} µs")) span.quiet { " in " (steps) } }
    }
}

fn steps(title: &str, variant: &Variant) -> Markup {
    html! {
        details {
            summary { (title) " (" (variant.operators.len()) ")" }
            div.scroll {
                table.small {
                    thead { tr { th { "step" } th { "kind" } th.n { "time" } th.n { "share" } th.n { "multiply-adds" } } }
                    tbody { @for o in &variant.operators { (step(o)) } }
                }
            }
        }
    }
}

fn step(o: &OperatorTime) -> Markup {
    html! {
        tr {
            td title=(o.name) { (shorten(&o.name, 44)) }
            td { (o.kind) }
            td.n { (format!("{:.1} µs", o.median_us)) }
            td.n { (format!("{:.1} %", o.share)) }
            td.n { @if o.macs > 0 { (term::short_count(o.macs)) } }
        }
    }
}

/// A grid of test pictures, mistakes first.
pub fn pictures(report: &Report) -> Markup {
    html! {
        @if !report.pictures.is_empty() {
            section {
                h2 { "Pictures" }
                p.quiet { "From the test part: some that the int8 model gets wrong, then some that it gets right. The share is the model's own confidence." }
                div.pictures { @for p in &report.pictures { (picture(report, p)) } }
            }
        }
    }
}

fn picture(report: &Report, p: &Picture) -> Markup {
    let right = p.int8 == p.label;
    let answer = |class: u32, confidence: f64| {
        let mark = if class == p.label { "right" } else { "wrong" };
        html! { span.(mark) { (report.class(class)) } " " span.quiet { (format!("{confidence:.0} %")) } }
    };
    html! {
        div.picture.(if right { "ok" } else { "off" }) {
            img src={ "data:image/png;base64," (p.png) } alt={ "test picture " (p.index) ", " (report.class(p.label)) };
            p { b { (report.class(p.label)) } }
            p { span.tag.float { "float" } (answer(p.float, p.float_confidence)) }
            p { span.tag.int8 { "int8" } (answer(p.int8, p.int8_confidence)) }
        }
    }
}

/// Commands, stages, files and the machine.
pub fn reproduce(report: &Report) -> Markup {
    let m = &report.machine;
    html! {
        section {
            h2 { "Reproduce" }
            pre { @for command in &report.commands { (command) "\n" } }
            p.quiet {
                "The same recipe, data and seed give the same two model files, byte for byte, on any number of threads"
                @if report.recipe.train.minutes.is_some() { " (as long as the budget of time does not end the training)" }
                ". Times differ from machine to machine."
            }
            div.split {
                table {
                    thead { tr { th { "stage" } th.n { "time" } } }
                    tbody {
                        @for s in &report.stages {
                            tr { td { (s.name) } td.n { (term::duration(std::time::Duration::from_secs_f64(s.seconds.clamp(0.0, 1e9)))) } }
                        }
                    }
                }
                table {
                    thead { tr { th { "machine" } th {} } }
                    tbody {
                        tr { td { "processor" } td { (m.cpu) } }
                        tr { td { "cores, threads used" } td { (m.cores) ", " (m.threads) } }
                        tr { td { "instruction set" } td { (m.isa) } }
                        @if m.memory_bytes > 0 { tr { td { "memory" } td { (term::bytes(m.memory_bytes)) } } }
                        tr { td { "system" } td { (m.os) } }
                        tr { td { "edgecut" } td { (m.edgecut) } }
                    }
                }
            }
            table {
                thead { tr { th { "file" } th.n { "size" } th { "SHA-256" } } }
                tbody {
                    @for v in [&report.float, &report.int8] {
                        tr { td { (v.file) } td.n { (term::bytes(v.file_bytes)) } td.hash { code { (v.sha256) } } }
                    }
                }
            }
        }
    }
}
