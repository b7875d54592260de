//! `edgecut new`: a recipe to begin with, every field explained.

use std::path::PathBuf;

use serde::Serialize;

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files;
use crate::recipe::Recipe;

const TEMPLATE: &str = include_str!("new.toml");

/// Options of `new`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut new
  edgecut new flowers --data ./pictures --arch mobilenet-v2
  edgecut new fashion --data fashion-mnist --arch mobilenet-v2-s28")]
pub struct Args {
    /// Folder for the recipe; made if it does not exist
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Data set: a name or a path
    #[arg(long, value_name = "NAME|PATH", default_value = "quickstart")]
    data: String,
    /// Architecture of the zoo
    #[arg(long, value_name = "NAME", default_value = "mobilenet-v2-s28")]
    arch: String,
    /// Replace a recipe that is already there
    #[arg(long)]
    force: bool,
}

#[derive(Serialize)]
struct Written {
    recipe: PathBuf,
}

/// Writes `recipe.toml`.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let text = TEMPLATE
        .replace("\"{data}\"", &toml::Value::from(path_from(&args.folder, &args.data)).to_string())
        .replace("\"{arch}\"", &toml::Value::from(args.arch.as_str()).to_string());
    edgecut_zoo::build(&args.arch, &edgecut_zoo::Options::default())
        .map_err(|e| Failure::input(format!("--arch: {e}")))?;
    let path = args.folder.join("recipe.toml");
    Recipe::parse(&text, &path.display().to_string())?;
    if path.exists() && !args.force {
        return Err(Failure::input("exists already").at(&path).hint("--force replaces it"));
    }
    files::make_folder(&args.folder)?;
    files::write(&path, text.as_bytes())?;
    if global.json {
        return files::print_json(&Written { recipe: path });
    }
    let out = args.folder.join("out");
    files::print(&format!("{} written. Next:", path.display()));
    files::print(&format!("  edgecut deploy {} --out {}", path.display(), out.display()));
    Ok(())
}

/// Paths in a recipe are relative to it, those on the command line to the working directory.
fn path_from(folder: &std::path::Path, data: &str) -> String {
    let here = std::path::Path::new(data);
    let stays = folder.as_os_str() == "." || here.is_absolute() || !here.exists();
    match std::path::absolute(here) {
        Ok(absolute) if !stays => absolute.to_string_lossy().into_owned(),
        _ => data.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{QuantizeSettings, TrainSettings};

    #[test]
    fn the_template_states_the_defaults() {
        let recipe = Recipe::parse(TEMPLATE, "new.toml").unwrap();
        // A recipe trains in float.
        assert_eq!(recipe.train, TrainSettings { lr: Some(0.1), ..TrainSettings::default() });
        assert_eq!(recipe.quantize, QuantizeSettings::default());
    }
}
