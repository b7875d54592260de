//! The page: one file without scripts, fonts or requests, in light and dark.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::charts::{class, distribution, over_time, ways};
use super::options::Options;
use super::rows::{MEAN, OfModel, OnTrace, P95};

const STYLE: &str = include_str!("style.css");

/// Everything that was measured.
pub fn page(options: &Options, models: &[OfModel]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Policies on recorded links · edgecut" }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                (header(options, models))
                @for model in models { (of_model(model)) }
            } }
        }
    }
    .into_string()
}

fn header(options: &Options, models: &[OfModel]) -> Markup {
    let all = || models.iter().flat_map(|model| &model.traces);
    let kept = all().filter(|on| on.verdict.is_kept()).count();
    let total = all().count();
    html! {
        header {
            p.kicker { "edgecut rig" }
            h1 { "Policies on recorded links" }
            p.lead {
                "Each policy answers the same pictures at the same moments of a trace, one policy after the \
                 other, by edgecut edge and edgecut serve on two network namespaces. The edge gets "
                (options.quota) " of a core, which emulates a slow device. Traces were recorded on the \
                 downlink and are used as uplinks. The oracle is computed: of each request the least of what \
                 each plan would have taken, by its measured time and bytes, on the recorded link without \
                 protocols."
            }
            p {
                @let mood = if kept == total { "good" } else { "bad" };
                span.chip.(mood) { (kept) " of " (total) " as aimed at" }
                " " span.quiet {
                    "mean at most " (MEAN) " of the oracle's, p95 at most " (P95)
                    " of the better of local and picture, no deadline missed that local keeps, none dropped, \
                     changes of plan within 1 ms"
                }
            }
        }
    }
}

fn of_model(model: &OfModel) -> Markup {
    html! {
        section {
            h2 { (model.model) }
            div.scroll { table {
                thead { tr {
                    th { "trace" } th.n { "Mbit/s" } th.n { "round trip" } th.n { "mean / oracle" }
                    th.n { "p95 / better" } th.n { "missed needlessly" } th.n { "dropped" }
                    th.n { "changes" } th.n { "switch" }
                } }
                tbody { @for on in &model.traces {
                    @let verdict = &on.verdict;
                    tr {
                        td { a href={ "#" (anchor(model, on)) } { (on.trace) } }
                        td.n { (format!("{:.1}", on.link[0])) }
                        td.n { (on.link[1]) " ms" }
                        td.n { (judged(verdict.mean_ratio, MEAN)) }
                        td.n { (judged(verdict.p95_ratio, P95)) }
                        td.n { (verdict.missed_needlessly) }
                        td.n { (verdict.dropped) }
                        td.n { (verdict.changes) }
                        td.n { (format!("{:.2}", verdict.switch_ms)) " ms" }
                    }
                } }
            } }
            p.quiet {
                "Beside the link: "
                @for (index, plan) in model.plans.iter().enumerate() {
                    @let bytes = plan.bytes.iter().sum::<u64>() / plan.bytes.len().max(1) as u64;
                    @if index > 0 { ", " }
                    (plan.plan) " " (format!("{:.1}", plan.ms)) " ms"
                    @if bytes > 0 { " and " (bytes) " bytes" }
                }
                "."
            }
        }
        @for on in &model.traces { (of_trace(model, on)) }
    }
}

fn anchor(model: &OfModel, on: &OnTrace) -> String {
    format!("{}-{}", model.model, on.trace)
}

fn judged(ratio: f64, most: f64) -> Markup {
    let mood = if ratio <= most { "good" } else { "bad" };
    html! { span.(mood) { (format!("{ratio:.3}")) } }
}

fn of_trace(model: &OfModel, on: &OnTrace) -> Markup {
    html! {
        section id=(anchor(model, on)) {
            h3 { (model.model) " · " (on.trace) }
            p.legend { @for row in &on.rows { span.key.(class(&row.policy)) { (row.policy) } } }
            (over_time(on))
            div.pair {
                figure { figcaption { "Share of requests within a latency" } (distribution(on)) }
                figure { figcaption { "Where requests went" } (ways(on)) }
            }
            div.scroll { table {
                thead { tr {
                    th { "policy" } th.n { "mean" } th.n { "p50" } th.n { "p95" } th.n { "p99" }
                    th.n { "missed" } th.n { "bytes a request" }
                } }
                tbody { @for row in &on.rows { tr {
                    td { (row.policy) }
                    td.n { (format!("{:.1}", row.mean_ms)) " ms" }
                    @for ms in row.quantiles_ms { td.n { (format!("{ms:.1}")) " ms" } }
                    td.n { (row.missed) }
                    td.n { (format!("{:.0}", row.bytes)) }
                } } }
            } }
        }
    }
}
