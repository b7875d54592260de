//! Rows as markdown.

use std::fmt::Write;

use super::score::{Row, lead};

/// For each model every quantiser, then how edgecut stands against the best of the others.
pub fn render(rows: &[Row]) -> String {
    let mut text = String::from("# Quantisers on the same models and pictures\n\n");
    let mut models: Vec<&str> = vec![];
    for row in rows {
        if !models.contains(&row.model.as_str()) {
            models.push(&row.model);
        }
    }
    let of = |model: &str| rows.iter().filter(|r| r.model == model).collect::<Vec<_>>();
    for model in &models {
        text += &one(model, &of(model));
    }
    text += "## edgecut against the best of the others\n\n";
    text += "| model | agreement | best other | lead, 95 % | verdict | SQNR | best other |\n";
    text += "| --- | ---: | --- | ---: | --- | ---: | --- |\n";
    for model in models {
        text += &verdict(model, &of(model));
    }
    text += "\nAgreement: percent of the pictures for which the first class is the float model's. \
             SQNR: ratio of the float outputs to the difference from them, dB. ONNX Runtime \
             computes both for every file, edgecut's runtime in the row that says so. Lead: of \
             agreement, paired bootstrap over the pictures.\n";
    text
}

fn one(model: &str, rows: &[&Row]) -> String {
    let pictures = rows.iter().find_map(|r| Some(r.same.as_ref()?.len()));
    let pictures = pictures.map_or(String::new(), |n| format!(", {n} pictures"));
    let mut text = format!("## {model}{pictures}\n\n");
    text += "| quantiser | version | agreement | SQNR | seconds | note |\n";
    text += "| --- | --- | ---: | ---: | ---: | --- |\n";
    for row in rows {
        let version = row.version.as_deref().unwrap_or("–");
        let note = row.note.clone().unwrap_or_default().replace('|', "/");
        let _ = writeln!(
            text,
            "| {} | {version} | {} | {} | {} | {note} |",
            row.quantiser,
            number(row.agreement(), 2),
            number(row.sqnr(), 1),
            number(row.seconds, 0),
        );
    }
    text + "\n"
}

fn verdict(model: &str, rows: &[&Row]) -> String {
    let ours = rows.iter().find(|r| r.quantiser == "edgecut");
    let others = || rows.iter().filter(|r| !r.is_edgecut());
    let best = |value: fn(&Row) -> Option<f64>| {
        others().filter_map(|row| Some((value(row)?, row))).max_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (agreed, clear) = (best(Row::agreement), best(Row::sqnr));
    let lead = ours
        .zip(agreed)
        .and_then(|(ours, (_, other))| lead(ours.same.as_ref()?, other.same.as_ref()?));
    let named = |found: Option<(f64, &&Row)>, decimals: usize| match found {
        Some((value, row)) => format!("{value:.decimals$} ({})", row.quantiser),
        None => "–".into(),
    };
    let word = match lead {
        Some((_, low, _)) if low > 0.0 => "ahead",
        Some((_, _, high)) if high < 0.0 => "behind",
        Some(_) => "level",
        None => "–",
    };
    let lead =
        lead.map_or("–".into(), |(by, low, high)| format!("{by:+.2} [{low:+.2}, {high:+.2}]"));
    format!(
        "| {model} | {} | {} | {lead} | {word} | {} | {} |\n",
        number(ours.and_then(|r| r.agreement()), 2),
        named(agreed, 2),
        number(ours.and_then(|r| r.sqnr()), 1),
        named(clear, 1),
    )
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or("–".into(), |v| format!("{v:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edgecut_is_compared_with_the_best_other_and_losers_stay() {
        let row = |quantiser: &str, wrong: usize, noise: f64| Row {
            same: Some((0..200).map(|i| i >= wrong).collect()),
            signal: Some(1.0),
            noise: Some(noise),
            ..Row::new("net", quantiser)
        };
        let rows = [
            row("edgecut", 0, 0.001),
            row("edgecut-for-ort", 1, 0.1),
            row("ort-minmax", 20, 0.01),
            row("nncf-fast", 40, 0.0001),
            Row::new("net", "aimet").failed("skipped: needs its Python package".into()),
        ];
        let text = render(&rows);
        let last = text.lines().rfind(|l| l.starts_with("| net ")).unwrap();
        assert!(last.contains("| 100.00 | 90.00 (ort-minmax) | +10.00 ["), "{last}");
        assert!(last.contains("| ahead | 30.0 | 40.0 (nncf-fast) |"), "{last}");
        assert!(text.contains("| aimet | – | – | – | – | skipped: needs its Python package |"));
    }
}
