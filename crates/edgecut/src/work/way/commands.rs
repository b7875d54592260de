//! Shell commands that do what a step did.

use std::path::Path;

use super::candidate::Action;
use super::workshop::{FLOAT, INT8, PRUNED};
use crate::files::quote;
use crate::recipe::Recipe;
use crate::settings::{PruneSettings, QuantizeSettings, TrainSettings};

/// What the commands name.
pub struct Named<'a> {
    pub recipe: &'a Recipe,
    /// The data.
    pub data: &'a str,
    /// The float network that the way begins with.
    pub first: &'a Path,
    /// The folder of the new network, and of the one that it is made from.
    pub place: &'a Path,
    pub parent: Option<&'a Path>,
}

/// The commands for `action`, which left `macs` multiply-adds; `training` is how it learned.
pub fn commands(named: &Named, action: Action, macs: u64, training: &TrainSettings) -> Vec<String> {
    let first = quote(named.first);
    let own = |name: &str| quote(&named.place.join(name));
    let parents = |name: &str| quote(&named.parent.unwrap_or(named.place).join(name));
    let quantise = |float: &str| {
        let settings = options(&named.recipe.quantize, &QuantizeSettings::default());
        format!("edgecut quantize {float} --data {}{settings} --out {}", named.data, own(INT8))
    };
    let learn = |student: &str, out: &str| {
        let settings = options(training, &TrainSettings::default());
        format!("edgecut distill {student} {first} --data {}{settings} --out {out}", named.data)
    };
    match action {
        Action::Start => vec![quantise(&first)],
        Action::Prune { .. } => {
            let settings = options(&named.recipe.prune, &PruneSettings::default());
            let (from, to) = (parents(FLOAT), own(PRUNED));
            vec![
                format!("edgecut prune {from} --macs {macs}{settings} --out {to}"),
                learn(&to, &own(FLOAT)),
                quantise(&own(FLOAT)),
            ]
        }
        Action::Polish { .. } => {
            vec![learn(&parents(FLOAT), &own(FLOAT)), quantise(&own(FLOAT))]
        }
        Action::Integers { .. } => vec![learn(&parents(INT8), &own(INT8))],
    }
}

/// ` --name value` for each field that is not the usual one.
fn options<T: serde::Serialize>(settings: &T, usual: &T) -> String {
    let fields = |value: &T| match serde_json::to_value(value) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let usual = fields(usual);
    let mut text = String::new();
    for (name, value) in fields(settings) {
        if usual.get(&name) == Some(&value) || value.is_null() {
            continue;
        }
        let name = name.replace('_', "-");
        text.push_str(&match value {
            serde_json::Value::Bool(true) if name != "flip" => format!(" --{name}"),
            serde_json::Value::String(word) => format!(" --{name} {word}"),
            serde_json::Value::Array(_) => continue,
            // As float32 was typed.
            serde_json::Value::Number(n) if n.is_f64() => {
                format!(" --{name} {}", n.as_f64().unwrap_or_default() as f32)
            }
            other => format!(" --{name} {other}"),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_unusual_is_said_and_as_it_was_typed() {
        let usual = TrainSettings::default();
        let own = TrainSettings { lr: Some(0.025), flip: false, keep_zeros: true, ..usual.clone() };
        assert_eq!(options(&own, &usual), " --flip false --keep-zeros --lr 0.025");
        assert_eq!(options(&usual, &usual), "");
    }
}
