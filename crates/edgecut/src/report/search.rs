//! The page of a search: the front, who won, and how well shared weights and the device's model
//! foresaw it. Written anew while the search runs; a browser then loads it again by itself.

use edgecut_search::rank::spearman;
use maud::{DOCTYPE, Markup, html};

use super::charts::{self, Frame, Series};
use super::html::head;
use crate::term;
use crate::work::search::{Found, Net, Winner};

/// Seconds between two loads of the page of a search that runs.
const RELOAD: u32 = 10;

/// Networks that a table shows at most.
const ROWS: usize = 40;

/// The whole page.
pub fn page(found: &Found) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&format!("{} on {} · edgecut search", found.space.name, found.data), ""))
            @if !found.done { meta http-equiv="refresh" content=(RELOAD); }
            body {
                main {
                    (header(found))
                    @if let Some(note) = &found.note {
                        p.note { strong { "About the data. " } (note) }
                    }
                    (device(found))
                    @if !found.winners.is_empty() { (winners(found)) }
                    (front(found))
                    (settings(found))
                }
            }
        }
    }
    .into_string()
}

fn header(found: &Found) -> Markup {
    let [learn, judge, end] = found.pictures.map(|n| term::count(n as u64));
    let judged = found.trials.len();
    html! {
        header {
            p.kicker { "edgecut search report" }
            h1 { (found.space.name) " on " (found.data) }
            p.lead {
                (term::short_number(&found.space_size)) " networks · " (judged) " of " (found.settings.trials)
                " judged by shared weights · " (learn) " pictures to learn from, " (judge)
                " to judge by, " (end) " for the end"
            }
            p.verdict {
                @if found.done { span.chip.good { "✓ done" } } @else { span.chip { "running" } }
                span.chip { (found.front.len()) " on the front" }
                span.quiet { (found.machine.cpu) " · " (found.machine.threads) " threads" }
            }
        }
    }
}

fn device(found: &Found) -> Markup {
    html! {
        @if let Some(facts) = &found.device {
            section {
                h2 { "The device" }
                p {
                    (facts.measured) " networks of the space were measured; of twenty others, nineteen are within "
                    (format!("{:.0} %", 100.0 * facts.interval)) " of their predicted latency. "
                    (format!("{:.0} %", 100.0 * facts.within)) " of the space is within the limits."
                }
                table {
                    thead { tr { th { "cost" } th.n { "limit" } th.n { "least" } th.n { "most" } } }
                    tbody {
                        @for range in &facts.ranges {
                            tr {
                                td { (range.kind.name()) }
                                td.n { @if let Some(limit) = range.limit { (range.text(limit)) } @else { "none" } }
                                td.n { (range.text(range.least)) }
                                td.n { (range.text(range.most)) }
                            }
                        }
                    }
                }
                p.quiet.below {
                    "Least and most of 200 networks drawn at random."
                    @if !found.dropped.is_empty() {
                        " No network within the limits has " (found.dropped.join(", ")) ": these were taken out of the space before anything was trained."
                    }
                }
            }
        }
    }
}

fn best_so_far(found: &Found) -> Series<'static> {
    let mut best: f64 = 0.0;
    let mut so_far = |net: &Net| {
        best = best.max(net.accuracy);
        best
    };
    let values = found.trials.iter().map(&mut so_far).collect();
    Series { name: "shared weights", class: "train", values }
}

/// Accuracy over latency of all networks that were judged, and of the winners.
fn front(found: &Found) -> Markup {
    let place = |net: &Net| (net.ms, net.accuracy);
    let trained = |w: &Winner| {
        let own = w.latency.as_ref().map_or(w.predicted[0], |times| times.min_ms);
        (w.shared.as_ref().map_or(own, |shared| shared.ms), w.held_out[2])
    };
    let whose = if found.settings.link.is_some() { "latency with the server" } else { "latency" };
    let all = || found.trials.iter().map(place).chain(found.winners.iter().map(trained));
    let mut line: Vec<(f64, f64)> =
        found.front.iter().filter_map(|&trial| found.net(trial)).map(place).collect();
    line.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut best: Vec<&Net> = found.front.iter().filter_map(|&trial| found.net(trial)).collect();
    best.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
    html! {
        section {
            h2 { "The front" }
            @if found.trials.is_empty() {
                p.quiet { "No network was judged yet." }
            } @else {
                @let frame = Frame::around(all(), 0.0);
                div.charts {
                figure.chart {
                    figcaption {
                        strong { "Accuracy over " (whose) }
                        span.legend.train { "judged" } span.legend.int8 { "not beaten" }
                        span.legend.float { "winners, trained and measured" }
                    }
                    svg viewBox=(charts::view_box()) role="img" aria-label=(format!("Accuracy over {whose}")) {
                        (frame.axes(" ms", " %"))
                        @for net in &found.trials { (frame.dot("train", place(net), "")) }
                        polyline.line.int8 points=(frame.points(&line)) {}
                        @for &point in &line { (frame.dot("int8", point, "")) }
                        @for w in &found.winners { (frame.dot("float", trained(w), &w.trial.to_string())) }
                    }
                }
                (charts::lines("Best accuracy by network judged", " %", &[best_so_far(found)]))
                }
                div.scroll {
                    table {
                        thead { tr { th.n { "network" } th.n { "accuracy" } th.n { "predicted" } th { "choices" } } }
                        tbody {
                            @for net in best.iter().take(ROWS) {
                                tr {
                                    td.n { (net.trial) }
                                    td.n { (term::percent(net.accuracy)) }
                                    td.n { (term::milliseconds(net.ms)) }
                                    td.words { (net.genes) }
                                }
                            }
                        }
                    }
                }
                p.quiet.below { "Accuracies by shared weights, on pictures held out; they rank networks, and trained ones are better. " code { "edgecut search --explain NETWORK" } " says more of one." }
            }
        }
    }
}

fn winners(found: &Found) -> Markup {
    let shared: Vec<f64> = found.winners.iter().map(|w| w.held_out[0]).collect();
    let trained: Vec<f64> = found.winners.iter().map(|w| w.held_out[1]).collect();
    html! {
        section {
            h2 { "Winners" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th.n { "network" } th.n { "shared weights" } th.n { "float" } th.n { "deployed" }
                            th.n { "test, float" } th.n { "test, deployed" } th.n { "predicted" } th.n { "measured" }
                            th.n { "file" } th.n { "memory" } th.n { "multiply-adds" } th { "file" } th {}
                        }
                    }
                    tbody { @for w in &found.winners { (winner(w)) } }
                }
            }
            p.quiet.below {
                "The first three accuracies are on the pictures held out, by which networks were chosen; the test pictures were looked at once. "
                "Latency: the least of many runs of one picture, all winners in turn, as predictions are of least times; medians in grey."
                @if found.winners.len() > 2 {
                    " Rank correlation of shared weights and trained ones: " (format!("{:.2}", spearman(&shared, &trained))) "."
                }
            }
            (together(found))
            @for w in &found.winners { (anatomy(w)) }
        }
    }
}

/// How winners are shared with the server.
fn together(found: &Found) -> Markup {
    let shared = || found.winners.iter().filter_map(|w| Some((w.trial, w.shared.as_ref()?)));
    let [link, server] = [&found.settings.link, &found.settings.server].map(Option::as_deref);
    html! {
        @if shared().next().is_some() {
            div.scroll {
                table {
                    thead { tr { th.n { "network" } th.n { "with the server" } th.n { "on the device" } th.n { "away" } th { "sends" } th.n { "bytes" } } }
                    tbody {
                        @for (trial, s) in shared() {
                            tr {
                                td.n { (trial) }
                                td.n { strong { (term::milliseconds(s.ms)) } }
                                td.n { (term::milliseconds(s.device_ms)) }
                                td.n { (term::milliseconds(s.away_ms)) }
                                td.words { (s.sends) }
                                td.n { (term::bytes(s.bytes)) }
                            }
                        }
                    }
                }
            }
            p.quiet.below {
                "With a server " (server.unwrap_or_default()) " as fast as the device behind "
                (link.unwrap_or_default()) " (Mbit/s, ms): the best cut of each, by the device's measured time and bytes before entropy coding. "
                code { "edgecut split" } " cuts the file and measures the codec on pictures."
            }
        }
    }
}

/// Where the time of a winner goes, and what it comes from.
fn anatomy(w: &Winner) -> Markup {
    let whole = w.predicted[0].max(1e-12);
    html! {
        details {
            summary { "Network " (w.trial) ": where its time goes, and what it comes from" }
            div.scroll {
                table {
                    thead { tr { th { "part" } th { "what" } th.n { "predicted" } th.n { "share" } th {} th.n { "multiply-adds" } th.n { "weights" } } }
                    tbody {
                        @for part in &w.parts {
                            @let share = 100.0 * part.ms / whole;
                            tr {
                                td { (part.name) }
                                td.words { (part.what) }
                                td.n { (term::milliseconds(part.ms)) }
                                td.n { (term::percent(share)) }
                                td { meter min="0" max="100" value=(format!("{share:.1}")) {} }
                                td.n { (term::short_count(part.macs)) }
                                td.n { (term::bytes(part.weight_bytes)) }
                            }
                        }
                    }
                }
                @if w.lineage.len() > 1 {
                    table {
                        thead { tr { th.n { "comes from" } th.n { "accuracy" } th.n { "predicted" } th { "what it changed" } } }
                        tbody {
                            @for a in &w.lineage {
                                tr {
                                    td.n { (a.trial) }
                                    td.n { (term::percent(a.accuracy)) }
                                    td.n { (term::milliseconds(a.ms)) }
                                    td.words { (a.changes.join(", ")) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn winner(w: &Winner) -> Markup {
    let [shared, float, deployed] = w.held_out;
    let [predicted, low, high] = w.predicted;
    html! {
        tr {
            td.n { (w.trial) }
            td.n { (term::percent(shared)) }
            td.n { (term::percent(float)) }
            td.n { (term::percent(deployed)) }
            @match &w.test {
                Some([float, deployed]) => {
                    td.n { (term::percent(float.percent)) }
                    td.n { strong { (term::percent(deployed.percent)) } }
                }
                None => { td {} td {} }
            }
            td.n { (term::milliseconds(predicted)) " " span.quiet { (term::milliseconds(low)) "–" (term::milliseconds(high)) } }
            td.n { @if let Some(times) = &w.latency { strong { (term::milliseconds(times.min_ms)) } " " span.quiet { (term::milliseconds(times.median_ms)) } } }
            td.n { (term::bytes(w.bytes)) }
            td.n { (term::bytes(w.memory)) }
            td.n { (term::short_count(w.macs)) }
            td { (w.files[0]) }
            td { @for kind in &w.over { span.chip.bad { "over: " (kind.name()) } } }
        }
    }
}

fn settings(found: &Found) -> Markup {
    let (search, training) = (&found.settings, &found.training);
    html! {
        section {
            h2 { "Settings" }
            details {
                summary { "Search, training and space" }
                pre { "[search]\n" (toml::to_string(search).unwrap_or_default()) "\n[train]\n" (toml::to_string(training).unwrap_or_default()) }
                pre { (toml::to_string(&found.space).unwrap_or_default()) }
            }
        }
    }
}

/// The winners for a terminal.
pub fn summary(found: &Found) -> String {
    let row = |w: &Winner| {
        let test = |at: usize| {
            w.test.as_ref().map_or(String::new(), |shares| term::percent(shares[at].percent))
        };
        vec![
            w.trial.to_string(),
            term::percent(w.held_out[0]),
            test(0),
            test(1),
            term::milliseconds(w.predicted[0]),
            w.latency.as_ref().map_or(String::new(), |times| term::milliseconds(times.min_ms)),
            term::bytes(w.bytes),
            term::short_count(w.macs),
            w.files[0].clone(),
            w.over.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = found.winners.iter().map(row).collect();
    let header = [
        "network",
        "shared weights",
        "test, float",
        "test, deployed",
        "predicted",
        "measured",
        "size",
        "multiply-adds",
        "file",
        "over its limit",
    ];
    let shared = |w: &Winner| {
        let shared = w.shared.as_ref()?;
        Some(format!("\nnetwork {} with the server: {}", w.trial, shared.words()))
    };
    let together: String = found.winners.iter().filter_map(shared).collect();
    term::table(&header, &[0, 1, 2, 3, 4, 5, 6, 7], &rows) + &together
}
