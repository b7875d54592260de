//! How pictures become a model's input, as options say it.

use std::path::Path;

use edgecut_train::data::{Channels, Preprocess, Resize};

use super::card::Card;
use crate::errors::{Failure, Result};

/// Longest description that is read from a file.
const MAX_BYTES: u64 = 1 << 16;
/// Thousandths of the shorter side that a centre crop keeps: what ImageNet's figures are measured
/// with.
const KEPT: u16 = 875;

/// Options of verbs that feed pictures to a model.
#[derive(clap::Args, Clone, Debug)]
pub struct Preprocessing {
    /// How pictures become the input: auto (as the file says, else bytes as they are where the
    /// input is 8-bit), torchvision, caffe, tf, lite0, cifar, pixels, or a JSON file
    #[arg(long, value_name = "NAME|FILE.json", default_value = "auto")]
    preprocess: String,
    /// How pictures of another size fit [default: as --preprocess says]
    #[arg(long, value_enum)]
    fit: Option<Fit>,
}

/// How a picture comes to the size of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fit {
    /// The centre, 0.875 of the shorter side, keeping the aspect ratio
    Crop,
    /// All of it, whatever its aspect ratio
    Stretch,
}

impl Preprocessing {
    /// The one of this name or file.
    pub fn named(name: &str) -> Preprocessing {
        Preprocessing { preprocess: name.into(), fit: None }
    }

    /// Whether it is left to the model's file.
    pub fn is_auto(&self) -> bool {
        self.preprocess == "auto" && self.fit.is_none()
    }

    /// The preprocessing to use for the model of `card`.
    ///
    /// # Errors
    /// Where the model takes no pictures, where nothing says how they become its input, or where
    /// what is said does not fit it.
    pub fn choose(&self, card: &Card) -> Result<Preprocess> {
        let [c, h, w] = card.image_input()?;
        let mut description = self.description(card, h.max(w))?;
        if Preprocess::PRESETS.contains(&self.preprocess.as_str()) || self.is_bytes(card) {
            fill(&mut description, [c, h, w]);
        }
        match self.fit {
            Some(Fit::Stretch) => description.resize = Resize::Exact,
            // What crops already does it the way that the model was trained with.
            Some(Fit::Crop) if description.resize == Resize::Exact => {
                description.resize = Resize::Centre { per_mille: KEPT };
            }
            _ => {}
        }
        let makes = [description.channels.count(), description.height, description.width];
        if makes != [c, h, w] {
            let (expected, found) = (shape_text([c, h, w]), shape_text(makes));
            let problem = format!(
                "the input is {expected}, preprocessing '{}' makes {found}",
                self.preprocess
            );
            return Err(Failure::input(problem).at(&card.path));
        }
        description.validate()?;
        Ok(description)
    }

    /// Whether the input takes a picture's bytes as its codes.
    fn is_bytes(&self, card: &Card) -> bool {
        let silent = || !matches!(card.preprocess(), Ok(Some(_)));
        card.codes.is_some()
            && (self.preprocess == "pixels" || (self.preprocess == "auto" && silent()))
    }

    fn description(&self, card: &Card, side: usize) -> Result<Preprocess> {
        if let Some(codes) = card.codes.filter(|_| self.is_bytes(card)) {
            return Ok(codes.pixels(Preprocess::tf(side)));
        }
        let name = self.preprocess.as_str();
        if name == "auto" {
            return card.preprocess()?.ok_or_else(|| {
                Failure::input("does not say how pictures become its input")
                    .at(&card.path)
                    .hint("say it: --preprocess torchvision, caffe, tf, lite0, cifar, pixels or FILE.json")
            });
        }
        if let Some(preset) = Preprocess::preset(name, side) {
            return Ok(preset);
        }
        if name.ends_with(".json") {
            return read(Path::new(name));
        }
        let known = Preprocess::PRESETS.join(", ");
        Err(Failure::input(format!("--preprocess {name}: unknown"))
            .hint(format!("known: auto, {known}, or a file whose name ends in .json")))
    }
}

/// Fits a preset, which is for any input, to one of a certain size, and to grey pictures where it
/// treats all colours alike.
fn fill(description: &mut Preprocess, [c, h, w]: [usize; 3]) {
    (description.height, description.width) = (h, w);
    let alike = |values: &[f32]| values.windows(2).all(|pair| pair[0] == pair[1]);
    if c == 1 && alike(&description.mean) && alike(&description.std) {
        description.channels = Channels::Gray;
        description.mean.truncate(1);
        description.std.truncate(1);
    }
}

/// The description in a JSON file, in the form that models carry under `edgecut.preprocess`.
fn read(path: &Path) -> Result<Preprocess> {
    let size = std::fs::metadata(path).map_err(|e| Failure::io(path, &e))?.len();
    if size > MAX_BYTES {
        return Err(Failure::input("is larger than 64 KiB: no preprocessing").at(path));
    }
    let bytes = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
    let description: Preprocess = serde_json::from_slice(&bytes).map_err(|e| {
        Failure::input(e.to_string()).at(path).hint(
            "such as {\"height\":224,\"width\":224,\"channels\":\"rgb\",\
             \"resize\":{\"policy\":\"shorter_side\",\"size\":256},\"scale\":0.003921569,\
             \"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]}",
        )
    })?;
    description.validate().map_err(|e| Failure::from(e).at(path))?;
    Ok(description)
}

fn shape_text([c, h, w]: [usize; 3]) -> String {
    format!("{c}x{h}x{w} (channels, height, width)")
}
