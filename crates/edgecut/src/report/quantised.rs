//! The page of a quantisation: what was tried, what each layer lost, which ranges were chosen.

use edgecut_compress::{Found, QuantizeReport, Trial};
use maud::{DOCTYPE, Markup, html};

use super::OperatorTime;
use super::charts::{Series, lines, pair_bars, shorten};
use super::html::head;
use crate::term;
use crate::work::sizes::Sizes;
use crate::work::speed::Speed;

/// What is known beside what the search found.
pub struct Facts<'a> {
    /// Name of the float model.
    pub model: &'a str,
    /// Bytes of the float file.
    pub before: u64,
    /// Bytes of the quantised file.
    pub after: u64,
    /// The quantised model, counted in several ways.
    pub sizes: Sizes,
    /// Both models on this machine.
    pub speed: &'a Speed,
}

/// The whole page.
pub fn page(found: &Found, facts: &Facts) -> String {
    let report = &found.quantized.report;
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} · edgecut quantisation", facts.model), ""))
            body {
                main {
                    (header(found, facts))
                    (trials(found))
                    (limits(found))
                    (layers(report))
                    (activations(report))
                    (skipped(report))
                    (speed(facts.speed))
                }
            }
        }
    }
    .into_string()
}

fn header(found: &Found, facts: &Facts) -> Markup {
    let score = &found.score;
    let (before, after) = (term::bytes(facts.before), term::bytes(facts.after));
    html! {
        header {
            p.kicker { "edgecut quantisation report" }
            h1 { (facts.model) }
            p.lead {
                (before) " → " (after) " · " (found.recipe.describe()) " · calibrated on "
                (found.quantized.report.calibration_images) " pictures"
            }
            p.verdict {
                @if let Some(agreement) = score.agreement {
                    span.chip { (format!("{:.1} %", 100.0 * agreement)) " same answer as float" }
                }
                span.chip { (decibels(score.sqnr_db)) " signal to noise" }
                @if let Some(kl) = score.kl { span.chip { (format!("{kl:.2e}")) " nats divergence" } }
                span.chip { "on " (score.images) " pictures held out" }
                span.chip { (term::bytes(facts.sizes.raw)) " of weights, " (term::bytes(facts.sizes.coded)) " entropy-coded" }
                @if let Some(zip) = facts.sizes.zip { span.chip { (term::bytes(zip)) " zipped" } }
                @if found.stopped { span.chip.bad { "search ended early" } }
            }
        }
    }
}

fn trials(found: &Found) -> Markup {
    let percent =
        |share: Option<f64>| share.map_or("–".into(), |s| format!("{:.1} %", 100.0 * s));
    let row = |trial: &Trial| {
        let chosen = trial.recipe == found.recipe;
        html! {
            tr {
                td { @if chosen { strong { "✓ " (trial.summary) } } @else { (trial.summary) } }
                td.n { (percent(trial.score.agreement)) }
                td.n { (decibels(trial.score.sqnr_db)) }
                td.n { (trial.score.kl.map_or("–".into(), |kl| format!("{kl:.2e}"))) }
                td.n { (format!("{:.1} s", trial.seconds)) }
            }
        }
    };
    html! {
        section {
            h2 { "What was tried" }
            table {
                tr {
                    th { "Combination" } th.n { "Same answer" } th.n { "Signal to noise" }
                    th.n { "Divergence" } th.n { "Time" }
                }
                @for trial in &found.trials { (row(trial)) }
            }
        }
    }
}

fn limits(found: &Found) -> Markup {
    let Some(mixed) = &found.mixed else { return html! {} };
    let width = |bits: u8| if bits == 32 { "float".into() } else { format!("{bits} bits") };
    html! {
        section {
            h2 { "Width of each layer, the most sensitive first" }
            p {
                @if mixed.met { "All limits are met: " } @else { "Not all limits are met: " }
                @if let Some(drop) = mixed.drop { (format!("{drop:.2} % of answers changed, ")) }
                (term::bytes(mixed.bytes as u64)) " of constants"
                @if let Some(ms) = mixed.latency_ms { (format!(", {ms:.2} ms a picture")) } "."
            }
            table {
                tr { th { "Layer" } th.n { "Weights" } th.n { "Width" } th { "Why" } }
                @for layer in &mixed.layers {
                    tr {
                        td { (shorten(&layer.node, 60)) }
                        td.n { (term::count(layer.weights as u64)) }
                        td.n { (width(layer.bits)) }
                        td { (layer.reason) }
                    }
                }
            }
        }
    }
}

fn layers(report: &QuantizeReport) -> Markup {
    let series = |name, class, values: Vec<Option<f64>>| Series {
        name,
        class,
        values: values.into_iter().map(|v| v.unwrap_or(f64::NAN)).collect(),
    };
    let output = report.layers.iter().map(|l| l.output_sqnr_db).collect();
    let weights = report.layers.iter().map(|l| l.weight_sqnr_db).collect();
    let known = |value: Option<f64>| value.map_or("–".into(), decibels);
    html! {
        section {
            h2 { "Layers" }
            (lines("Signal to noise, layer by layer", " dB", &[
                series("result", "test", output),
                series("weights", "train", weights),
            ]))
            table {
                tr {
                    th { "Layer" } th { "Operator" } th.n { "Channels" } th.n { "Bits" }
                    th.n { "Weights" } th.n { "Result" }
                }
                @for layer in &report.layers {
                    tr {
                        td { (shorten(&layer.node, 60)) }
                        td { (layer.op) }
                        td.n { (layer.channels) }
                        td.n { (layer.bits) }
                        td.n { (known(layer.weight_sqnr_db)) }
                        td.n { (known(layer.output_sqnr_db)) }
                    }
                }
            }
            p.below.quiet {
                "Result: each layer alone with quantised input and weights, beside float on the same pictures."
            }
        }
    }
}

fn activations(report: &QuantizeReport) -> Markup {
    let widths: Vec<f64> = report.activations.iter().map(|a| f64::from(a.high - a.low)).collect();
    html! {
        section {
            h2 { "Activations" }
            (lines("Width of the range, value by value", "", &[
                Series { name: "range", class: "test", values: widths },
            ]))
            table {
                tr {
                    th { "Value" } th.n { "Lowest" } th.n { "Highest" } th.n { "Scale" }
                    th.n { "Zero point" } th.n { "Beyond the range" }
                }
                @for value in &report.activations {
                    tr {
                        td { (shorten(&value.value, 60)) }
                        td.n { (format!("{:.3}", value.low)) }
                        td.n { (format!("{:.3}", value.high)) }
                        td.n { (format!("{:.3e}", value.scale)) }
                        td.n { (value.zero_point) }
                        td.n { (format!("{:.3} %", 100.0 * value.saturated)) }
                    }
                }
            }
        }
    }
}

fn skipped(report: &QuantizeReport) -> Markup {
    html! {
        @if !report.skipped.is_empty() {
            section {
                h2 { "What stays float" }
                table {
                    tr { th { "Node" } th { "Operator" } th { "Why" } }
                    @for node in &report.skipped {
                        tr { td { (shorten(&node.node, 60)) } td { (node.op) } td { (node.reason) } }
                    }
                }
            }
        }
    }
}

fn speed(speed: &Speed) -> Markup {
    let steps = |title: &str, steps: &[OperatorTime]| {
        html! {
            div {
                h3 { (title) }
                table.small {
                    tr { th { "Step" } th { "Kind" } th.n { "Time" } th.n { "Share" } }
                    @for step in steps {
                        tr {
                            td { (shorten(&step.name, 40)) }
                            td { (step.kind) }
                            td.n { (format!("{:.0} µs", step.median_us)) }
                            td.n { (format!("{:.1} %", step.share)) }
                        }
                    }
                }
            }
        }
    };
    html! {
        section {
            h2 { "Speed on this machine" }
            p { (speed.remark()) "." }
            (pair_bars(speed.float.median_ms, speed.int8.median_ms))
            div.split.below {
                (steps("Float", &speed.float_steps))
                (steps("Quantised", &speed.int8_steps))
            }
        }
    }
}

fn decibels(value: f64) -> String {
    format!("{value:.1} dB")
}
