//! Differences in the terminal and on the page.

use maud::{Markup, html};

use super::super::summary::Kind;
use super::weights::{Apart, Changed, Requantised};
use super::{Diff, Outputs, Size, Weights};
use crate::{files, term};

/// Nodes and tensors listed in the terminal; the page lists more, `--json` all.
const SHOWN: usize = 15;
/// Nodes and tensors listed on the page.
const ON_PAGE: usize = 500;

impl Diff {
    /// Prints the comparison.
    pub fn show(&self) {
        files::print(&format!("a = {}\nb = {}", self.a, self.b));
        let row = |s: &Size| vec![s.what.to_string(), s.show(s.a), s.show(s.b), s.change()];
        let rows: Vec<Vec<String>> = self.sizes.iter().map(row).collect();
        files::print(&term::table(&["", "a", "b", "change"], &[1, 2, 3], &rows));
        for pair in &self.ports {
            for (mark, port) in ["-", "+"].iter().zip(pair) {
                port.iter().for_each(|p| files::print(&format!("{mark} {p}")));
            }
        }
        let row = |(op, [a, b]): (&&str, &[Kind; 2])| {
            vec![op.to_string(), a.nodes.to_string(), b.nodes.to_string()]
        };
        let rows: Vec<Vec<String>> = self.operators.iter().map(row).collect();
        if !rows.is_empty() {
            files::print(&term::table(&["operator", "a", "b"], &[1, 2], &rows));
        }
        files::print(&self.nodes_text());
        for (mark, list) in [("-", &self.removed), ("+", &self.added)] {
            let plain: Vec<&super::Apart> = list.iter().filter(|n| !n.quantisation).collect();
            plain.iter().take(SHOWN).for_each(|n| files::print(&format!("{mark} {}", n.text())));
            if plain.len() > SHOWN {
                files::print(&format!("{mark} … and {} more", plain.len() - SHOWN));
            }
        }
        self.show_weights();
        self.show_outputs();
    }

    fn show_weights(&self) {
        files::print(&self.weights.text());
        let rows: Vec<Vec<String>> =
            self.weights.changed.iter().take(SHOWN).map(Changed::row).collect();
        if !rows.is_empty() {
            files::print(&term::table(&WEIGHTS, &[3, 4, 5], &rows));
        }
        if self.weights.changed.len() > SHOWN {
            files::print(&format!("… and {} more", self.weights.changed.len() - SHOWN));
        }
        if !self.requantised.is_empty() {
            let text = "quantisation of activations that differs";
            files::print(&format!("{text}: {}", self.requantised.len()));
            let rows: Vec<Vec<String>> =
                self.requantised.iter().take(SHOWN).map(Requantised::row).collect();
            files::print(&term::table(&REQUANTISED, &[], &rows));
        }
    }

    fn show_outputs(&self) {
        match &self.outputs {
            Outputs::Differ(why) => files::print(&format!("outputs not compared: {why}")),
            Outputs::Compared(list) => {
                files::print("outputs on the same generated inputs");
                let rows: Vec<Vec<String>> = list.iter().map(output_row).collect();
                files::print(&term::table(&OUTPUTS, &[1, 2, 3], &rows));
            }
        }
    }

    fn nodes_text(&self) -> String {
        let hidden = self.removed.iter().chain(&self.added).filter(|n| n.quantisation).count();
        let mut text = format!(
            "nodes: {} the same, {} only in a, {} only in b",
            self.paired,
            self.removed.len(),
            self.added.len()
        );
        if hidden > 0 {
            text.push_str(&format!(" ({hidden} of them quantise or dequantise)"));
        }
        text
    }

    /// The same as part of a page.
    pub fn section(&self) -> Markup {
        let sizes: Vec<Vec<String>> = self
            .sizes
            .iter()
            .map(|s| vec![s.what.to_string(), s.show(s.a), s.show(s.b), s.change()])
            .collect();
        let operators: Vec<Vec<String>> = self
            .operators
            .iter()
            .map(|(op, [a, b])| vec![op.to_string(), a.nodes.to_string(), b.nodes.to_string()])
            .collect();
        let none = || "–".to_string();
        let ports: Vec<Vec<String>> = self
            .ports
            .iter()
            .map(|p| p.iter().map(|p| p.clone().unwrap_or_else(none)).collect())
            .collect();
        let weights: Vec<Vec<String>> =
            self.weights.changed.iter().take(ON_PAGE).map(Changed::row).collect();
        let requantised: Vec<Vec<String>> =
            self.requantised.iter().take(ON_PAGE).map(Requantised::row).collect();
        html! {
            section {
                h2 { "Compared with " (self.b) }
                p.quiet { "a is this model, b the other." }
                (grid(&["", "a", "b", "change"], 1, &sizes))
                @if !ports.is_empty() { h3 { "Inputs and outputs" } (grid(&["a", "b"], 2, &ports)) }
                @if !operators.is_empty() { h3 { "Operators" } (grid(&["operator", "a", "b"], 1, &operators)) }
                h3 { "Outputs on the same generated inputs" }
                @match &self.outputs {
                    Outputs::Differ(why) => { p { "Not compared: " (why) } }
                    Outputs::Compared(list) => { (grid(&OUTPUTS, 1, &list.iter().map(output_row).collect::<Vec<_>>())) }
                }
                p { (self.nodes_text()) ". " (self.weights.text()) "." }
                @if !weights.is_empty() { details { summary { "Weights that differ (" (self.weights.changed.len()) ")" } (grid(&WEIGHTS, 3, &weights)) } }
                @if !requantised.is_empty() { details { summary { "Quantisation of activations that differs (" (self.requantised.len()) ")" } (grid(&REQUANTISED, 3, &requantised)) } }
                @for (title, list) in [("Only in a", &self.removed), ("Only in b", &self.added)] {
                    @if !list.is_empty() {
                        details { summary { (title) " (" (list.len()) " nodes)" } ul { @for n in list.iter().take(ON_PAGE) { li { (n.text()) } } } }
                    }
                }
            }
        }
    }
}

const WEIGHTS: [&str; 6] = ["weights of", "a", "b", "max", "mean", "relative"];
const REQUANTISED: [&str; 3] = ["activations at", "a", "b"];
const OUTPUTS: [&str; 4] = ["output", "max", "mean", "relative"];

/// A table whose columns from `numeric` on are aligned to the right.
fn grid(header: &[&str], numeric: usize, rows: &[Vec<String>]) -> Markup {
    let class = |i: usize| if i >= numeric { "n" } else { "" };
    html! {
        table.small {
            thead { tr { @for (i, h) in header.iter().enumerate() { th.(class(i)) { (h) } } } }
            tbody { @for row in rows { tr { @for (i, cell) in row.iter().enumerate() { td.(class(i)) { (cell) } } } } }
        }
    }
}

fn output_row((name, apart): &(String, Apart)) -> Vec<String> {
    let mut row = vec![name.clone()];
    row.extend(apart.columns());
    row
}

impl Apart {
    fn columns(&self) -> [String; 3] {
        [self.max_abs, self.mean_abs, self.relative].map(term::number)
    }
}

impl super::Apart {
    fn text(&self) -> String {
        format!("{} {} {}", self.op, self.shape, self.name)
    }
}

impl Size {
    fn show(&self, n: u64) -> String {
        if self.bytes { term::bytes(n) } else { term::count(n) }
    }

    fn change(&self) -> String {
        match (self.a, self.b) {
            (a, b) if a == b => "same".into(),
            (0, _) => String::new(),
            (a, b) => format!("{:+.1} %", 100.0 * (b as f64 / a as f64 - 1.0)),
        }
    }
}

impl Weights {
    fn text(&self) -> String {
        format!("weights of these: {} equal, {} differ", self.equal, self.changed.len())
    }
}

impl Changed {
    fn row(&self) -> Vec<String> {
        let what = if self.input == 1 { String::new() } else { format!(", input {}", self.input) };
        let mut row = vec![format!("{}{what}", self.node), self.a.clone(), self.b.clone()];
        match &self.apart {
            Some(apart) => row.extend(apart.columns()),
            None => row.extend(["–", "–", "–"].map(String::from)),
        }
        row
    }
}

impl Requantised {
    fn row(&self) -> Vec<String> {
        let text = |(scale, zero): (f32, i64)| format!("scale {scale:.6}, zero {zero}");
        vec![self.node.clone(), text(self.a), text(self.b)]
    }
}
