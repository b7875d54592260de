//! The recipe: one TOML file that says how to come from data to a checked int8 model.
//!
//! Paths in a recipe are relative to the recipe, so that a folder with both can move. Every error
//! names file, line, section and field.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::errors::{Failure, Result};
use crate::settings::{
    BudgetSettings, DataSettings, ModelSettings, OutSettings, PruneSettings, QuantizeSettings,
    TargetSettings, TrainSettings, Wrong,
};

/// Longest recipe that is read.
const MAX_RECIPE_BYTES: u64 = 1 << 20;

/// A parsed recipe. Paths of files are made relative to the working directory; the data's source
/// stays as written, because it may be a name: [`crate::work::data::open`] looks beside the recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Where the pictures come from.
    pub data: DataSettings,
    /// The architecture, or a model to begin with.
    #[serde(default)]
    pub model: ModelSettings,
    /// How to train.
    #[serde(default)]
    pub train: TrainSettings,
    /// How to turn float into int8.
    #[serde(default)]
    pub quantize: QuantizeSettings,
    /// Which channels go, where a budget asks for fewer.
    #[serde(default)]
    pub prune: PruneSettings,
    /// What the result may cost; without it the network is quantised and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetSettings>,
    /// What the result must be.
    #[serde(default)]
    pub target: TargetSettings,
    /// Where the results go.
    #[serde(default)]
    pub out: OutSettings,
}

impl Recipe {
    /// Reads and checks the recipe at `path`.
    ///
    /// # Errors
    /// File, line, section and field of what is wrong.
    pub fn read(path: &Path) -> Result<Recipe> {
        let hint = "`edgecut new` writes a recipe to begin with";
        let size = std::fs::metadata(path).map_err(|e| Failure::io(path, &e).hint(hint))?;
        if size.is_dir() {
            return Err(Failure::input("is a folder, not a recipe").at(path).hint(hint));
        }
        if size.len() > MAX_RECIPE_BYTES {
            return Err(Failure::input("is larger than 1 MiB: not a recipe").at(path));
        }
        let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
        let text =
            String::from_utf8(bytes).map_err(|_| Failure::input("is not UTF-8 text").at(path))?;
        let mut recipe = Recipe::parse(&text, &path.display().to_string())?;
        recipe.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(recipe)
    }

    /// Parses `text`; `place` is the file name in errors.
    pub fn parse(text: &str, place: &str) -> Result<Recipe> {
        let recipe: Recipe = toml::from_str(text).map_err(|e| explain(&e, text, place))?;
        recipe.validate().map_err(|(section, wrong)| {
            let line = find_line(text, section, wrong.field);
            let at = line.map_or(String::new(), |n| format!(":{n}"));
            Failure::input(format!("{place}{at}: [{section}] {} {}", wrong.field, wrong.problem))
        })?;
        Ok(recipe)
    }

    fn validate(&self) -> std::result::Result<(), (&'static str, Wrong)> {
        self.data.validate().map_err(|w| ("data", w))?;
        self.model.validate().map_err(|w| ("model", w))?;
        self.train.validate().map_err(|w| ("train", w))?;
        self.quantize.validate().map_err(|w| ("quantize", w))?;
        self.prune.validate().map_err(|w| ("prune", w))?;
        let budget = self.budget.as_ref().map_or(Ok(()), BudgetSettings::validate);
        budget.map_err(|w| ("budget", w))?;
        self.target.validate().map_err(|w| ("target", w))
    }

    /// Makes paths that are relative to the recipe's `folder` relative to the working directory.
    fn resolve(&mut self, folder: &Path) {
        let join = |path: &mut PathBuf| *path = folder.join(&*path);
        let device = self.budget.iter_mut().filter_map(|budget| budget.device.as_mut());
        self.model.start.iter_mut().chain(&mut self.out.folder).chain(device).for_each(join);
    }
}

/// One line for a TOML or serde error: file, line, section and the parser's words.
fn explain(error: &toml::de::Error, text: &str, place: &str) -> Failure {
    let message = error.message().trim();
    let Some(span) = error.span() else {
        return Failure::input(format!("{place}: {message}"));
    };
    let start = span.start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or_default().trim();
    let section = section_at(text, number).map_or(String::new(), |s| format!(" [{s}]"));
    let key = line.split_once('=').map_or(String::new(), |(k, _)| format!(" {}", k.trim()));
    // serde names an unknown field itself.
    let key = if message.starts_with("unknown field") { String::new() } else { key };
    Failure::input(format!("{place}:{number}:{section}{key}: {message}"))
}

/// Section that line `number` (from 1) belongs to.
fn section_at(text: &str, number: usize) -> Option<&str> {
    text.lines().take(number).filter_map(header).last()
}

fn header(line: &str) -> Option<&str> {
    line.trim().strip_prefix('[')?.split(']').next().map(str::trim)
}

/// Line (from 1) that sets `field` in `section`, where it is written in the usual way.
fn find_line(text: &str, section: &str, field: &str) -> Option<usize> {
    let mut current = "";
    text.lines().enumerate().find_map(|(i, line)| {
        current = header(line).unwrap_or(current);
        let key = line.split_once('=')?.0.trim();
        (current == section && key == field).then_some(i + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[data]\nsource = \"quickstart\"\n\n[train]\nepochs = 3\n";

    #[test]
    fn defaults_fill_what_is_left_out() {
        let recipe = Recipe::parse(GOOD, "r.toml").unwrap();
        assert_eq!(recipe.train, TrainSettings { epochs: 3, ..TrainSettings::default() });
        assert_eq!(recipe.model, ModelSettings::default());
    }

    #[test]
    fn errors_name_file_line_section_and_field() {
        let cases = [
            (GOOD.replace("epochs = 3", "epochs = 0"), "r.toml:5: [train] epochs is 0"),
            (GOOD.replace("epochs", "epoch"), "r.toml:5: [train]: unknown field `epoch`"),
            (GOOD.replace("= 3", "= \"x\""), "r.toml:5: [train] epochs: invalid type"),
            (GOOD.replace("= 3", "="), "r.toml:5: [train] epochs:"),
            (GOOD.replace("source", "# source"), "missing field `source`"),
        ];
        for (text, expected) in cases {
            let message = Recipe::parse(&text, "r.toml").unwrap_err().message;
            assert!(message.contains(expected), "{message}\n{expected}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_recipe() {
        let text = "[data]\nsource = \"x\"\n[model]\nstart = \"m.onnx\"\n";
        let mut recipe = Recipe::parse(text, "r.toml").unwrap();
        recipe.resolve(Path::new("a/b"));
        assert_eq!(recipe.model.start.unwrap(), Path::new("a/b/m.onnx"));
    }
}
