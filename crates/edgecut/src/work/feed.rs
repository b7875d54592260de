//! From pictures or arrays to the outputs of a model.

use std::path::{Path, PathBuf};

use edgecut_graph::Tensor;
use edgecut_train::data::{Image, Preprocess};

use super::card::Card;
use super::npy;
use super::preprocessing::Preprocessing;
use super::runner::Runner;
use crate::errors::{Failure, Result};
use crate::inspect::summary::extents;

/// Channels of a picture where the model leaves them open.
const USUAL_CHANNELS: usize = 3;

/// What a run gave.
pub struct Ran {
    /// The model at the shapes it was last run at.
    pub card: Card,
    /// Outputs in order; those of several pictures one after the other.
    pub outputs: Vec<Tensor>,
}

/// One run for each picture.
pub fn on_pictures(
    files: &[PathBuf],
    preprocessing: &Preprocessing,
    runner: &Runner,
) -> Result<Ran> {
    let mut ran: Option<Ran> = None;
    let mut known: Option<(Vec<usize>, Card, Preprocess)> = None;
    for path in files {
        let image = Image::open(path)?;
        let shape = picture_shape(runner, &image)?;
        let (card, preprocess) = match &known {
            Some((at, card, preprocess)) if *at == shape => (card, preprocess),
            _ => {
                let card = at_picture_size(runner, &shape)?;
                let preprocess = preprocessing.choose(&card)?;
                let (_, card, preprocess) = known.insert((shape.clone(), card, preprocess));
                (&*card, &*preprocess)
            }
        };
        let [h, w, c] = preprocess.shape();
        let mut pixels = vec![0f32; h * w * c];
        preprocess.apply_nchw(&image, &mut pixels).map_err(|e| Failure::from(e).at(path))?;
        let batch = shape.first().copied().unwrap_or(1);
        // A batch that the model fixes is filled with the same picture.
        let input = Tensor::new(vec![batch, c, h, w], pixels.repeat(batch))?;
        let outputs = runner.infer(&[input])?;
        let outputs = outputs.into_iter().map(|t| first_of(t, batch)).collect::<Result<_>>()?;
        ran = Some(match ran {
            None => Ran { card: card.clone(), outputs },
            Some(ran) => Ran { outputs: stack(ran.outputs, outputs, path)?, ..ran },
        });
    }
    ran.ok_or_else(|| Failure::input("no pictures were given"))
}

/// The model where pictures give the shape: not every size of picture suits every model.
fn at_picture_size(runner: &Runner, shape: &[usize]) -> Result<Card> {
    runner.card(&[shape.to_vec()]).map_err(|failure| match runner.takes_any_shape() {
        true => failure.hint(format!(
            "the picture gives the input the shape {}; say another, such as --shape 1x3x640x640",
            extents(shape)
        )),
        false => failure,
    })
}

/// The input's shape for `image`: where the model leaves an extent open, the picture's.
fn picture_shape(runner: &Runner, image: &Image) -> Result<Vec<usize>> {
    let [input] = runner.inputs() else {
        let count = runner.inputs().len();
        return Err(Failure::input(format!(
            "the model has {count} inputs: give one .npy array for each instead of pictures"
        )));
    };
    let own = [1, USUAL_CHANNELS, image.h, image.w];
    let dims = input.shape.dims().iter().enumerate();
    Ok(dims.map(|(i, d)| d.fixed().or(own.get(i).copied()).unwrap_or(1)).collect())
}

/// What an output says of the first picture of a batch.
fn first_of(output: Tensor, batch: usize) -> Result<Tensor> {
    match (output.shape(), output.f32s()) {
        ([n, rest @ ..], Ok(values)) if *n == batch && batch > 1 => {
            let shape = [&[1], rest].concat();
            Ok(Tensor::new(shape, values[..values.len() / batch].to_vec())?)
        }
        _ => Ok(output),
    }
}

/// Outputs of one more picture behind those before.
fn stack(all: Vec<Tensor>, more: Vec<Tensor>, path: &Path) -> Result<Vec<Tensor>> {
    let pairs = all.into_iter().zip(more);
    pairs
        .map(|(all, more)| {
            let (a, b) = (all.shape(), more.shape());
            let (Ok(x), Ok(y)) = (all.f32s(), more.f32s()) else {
                return Err(Failure::input("has an output that is not float32: give one picture"));
            };
            if a.is_empty() || a[1..] != b[1..] {
                return Err(Failure::input(format!(
                    "gives an output of shape {}, pictures before it {}",
                    extents(b),
                    extents(a)
                ))
                .at(path)
                .hint("give one picture a run, or one size for all: --shape 1x3x640x640"));
            }
            let shape = [&[a[0] + b[0]], &a[1..]].concat();
            Ok(Tensor::new(shape, [x, y].concat())?)
        })
        .collect()
}

/// One run on all arrays: one for each input, in order or as `INPUT=FILE.npy`.
pub fn on_arrays(files: &[PathBuf], runner: &Runner) -> Result<Ran> {
    let names: Vec<&str> = runner.inputs().iter().map(|i| i.name.as_str()).collect();
    let mut places: Vec<Option<PathBuf>> = vec![None; names.len()];
    let too_many = || {
        let (needed, given) = (names.len(), files.len());
        Failure::input(format!("the model has {needed} inputs, {given} arrays were given"))
            .at(runner.path())
            .hint(format!("the inputs are {}", names.join(", ")))
    };
    for file in files {
        let text = file.to_string_lossy();
        let named = text
            .rsplit_once('=')
            .and_then(|(name, path)| Some((names.iter().position(|n| *n == name)?, path)));
        let (index, path) = match named {
            Some((index, path)) => (index, PathBuf::from(path)),
            None => (places.iter().position(Option::is_none).ok_or_else(too_many)?, file.clone()),
        };
        if places[index].replace(path).is_some() {
            return Err(Failure::input(format!("input '{}' was given twice", names[index])));
        }
    }
    let paths: Vec<PathBuf> = places.into_iter().flatten().collect();
    if paths.len() < names.len() {
        return Err(too_many());
    }
    let inputs = paths.iter().map(|f| npy::read(f)).collect::<Result<Vec<Tensor>>>()?;
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape().to_vec()).collect();
    let outputs = runner.infer(&inputs)?;
    Ok(Ran { card: runner.card(&shapes)?, outputs })
}
