//! From the `[data]` section to the pictures, and from the pictures to the network's input.

use std::path::Path;
use std::sync::Arc;

use edgecut_train::data::{
    self, Channels, Data, Dataset, Image, OpenOptions, Places, Preprocess, Resize, Subset,
};

use crate::errors::{Failure, Result};
use crate::settings::DataSettings;

/// Pictures that the statistics of the input are taken from; more change them in the third digit.
const STATISTICS: usize = 4096;
/// Pictures that are looked at to learn whether all have one size.
const PROBED: usize = 32;
/// Side of the input where pictures differ in size and nobody says another: ImageNet's.
const USUAL_SIDE: usize = 224;

/// Opens the data. Relative paths are looked for beside the recipe first, then in the working
/// directory.
pub fn open(settings: &DataSettings, recipe_folder: Option<&Path>) -> Result<Data> {
    let places = Places::from_env();
    let places = match recipe_folder {
        Some(folder) => places.for_recipe(folder),
        None => places,
    };
    let test_fraction = f64::from(settings.validation);
    let options = OpenOptions { test_fraction, places, ..OpenOptions::default() };
    let mut data = data::open(&settings.source, &options)?;
    if let Some(names) = &settings.classes {
        data.train = rename(data.train, names)?;
        data.test = rename(data.test, names)?;
    }
    if let Some(limit) = settings.limit.filter(|&l| l < data.train.len()) {
        data.train = Arc::new(Subset::sample(data.train, options.seed, limit));
    }
    Ok(data)
}

/// Which part of the data a command looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The test part; where the data has none, the held-out share for a model that edgecut
    /// trained, and everything for any other model
    Auto,
    /// The test part; where the data has none, the share held out by the seeded split
    Test,
    /// The training part
    Train,
    /// Everything
    All,
}

/// The pictures of a part, and what must be said beside results on them. `trained_here` tells
/// whether the model may have been trained on the rest.
pub fn part(
    settings: &DataSettings,
    part: Part,
    trained_here: bool,
) -> Result<(Arc<dyn Dataset>, Option<String>)> {
    if part == Part::Auto && !trained_here {
        return Ok(data::open::open_for_evaluation(&settings.source, &OpenOptions::default())?);
    }
    let data = open(settings, None)?;
    let set: Arc<dyn Dataset> = match part {
        Part::Auto | Part::Test => data.test,
        Part::Train => data.train,
        Part::All => Arc::new(Joined { first: data.train, second: data.test }),
    };
    Ok((set, data.note))
}

/// How a network trained on `set` sees pictures: their own size (or `side`), each channel with the
/// mean and spread of the training part.
pub fn preprocess(set: &Arc<dyn Dataset>, side: Option<usize>) -> Result<Preprocess> {
    let shape = common_shape(set)?;
    let channels = match set.is_empty() {
        true => return Err(Failure::input("the training part has no pictures")),
        false if shape.is_some_and(|s| s[2] == 1) => Channels::Gray,
        false => Channels::Rgb,
    };
    let (height, width, resize) = match (shape, side) {
        (Some([h, w, _]), None) => (h, w, Resize::Exact),
        (Some([h, w, _]), Some(side)) if h == w => (side, side, Resize::Exact),
        (_, side) => {
            let side = side.unwrap_or(USUAL_SIDE);
            (side, side, Resize::ShorterSide { size: side })
        }
    };
    let c = channels.count();
    let unit = |value: f32| vec![value; c];
    let mut description = Preprocess {
        height,
        width,
        channels,
        resize,
        scale: 1.0 / 255.0,
        mean: unit(0.0),
        std: unit(1.0),
    };
    (description.mean, description.std) = statistics(set, &description)?;
    Ok(description)
}

/// `[h, w, c]` where all (probed) pictures share it.
fn common_shape(set: &Arc<dyn Dataset>) -> Result<Option<[usize; 3]>> {
    if let Some(shape) = set.shape() {
        return Ok(Some(shape));
    }
    let mut common = None;
    for i in spread(set.len(), PROBED) {
        let image = set.image(i)?;
        let shape = [image.h, image.w, image.c];
        if *common.get_or_insert(shape) != shape {
            return Ok(None);
        }
    }
    Ok(common)
}

/// At most `count` indices spread evenly over `0..len`.
fn spread(len: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..len).step_by(len.div_ceil(count.max(1)).max(1))
}

/// Mean and standard deviation of each channel of the prepared pictures. A channel that is
/// constant gets the deviation 1, so that nothing is divided by zero.
fn statistics(set: &Arc<dyn Dataset>, description: &Preprocess) -> Result<(Vec<f32>, Vec<f32>)> {
    let c = description.channels.count();
    let mut transform = edgecut_train::data::transform::Transform::new(description)?;
    let mut pixels = vec![0f32; description.height * description.width * c];
    let mut image = Image::default();
    let (mut sum, mut squares, mut count) = (vec![0f64; c], vec![0f64; c], 0f64);
    for i in spread(set.len(), STATISTICS) {
        set.read(i, &mut image)?;
        transform.apply(&image, &mut pixels)?;
        for pixel in pixels.chunks_exact(c) {
            for (channel, &value) in pixel.iter().enumerate() {
                sum[channel] += f64::from(value);
                squares[channel] += f64::from(value) * f64::from(value);
            }
        }
        count += (pixels.len() / c) as f64;
    }
    // Four digits: the numbers are stored with the model and should read well there.
    let round = |x: f64| ((x * 1e4).round() / 1e4) as f32;
    let mean: Vec<f32> = sum.iter().map(|s| round(s / count)).collect();
    let deviation = |(s, q): (&f64, &f64)| (q / count - (s / count).powi(2)).max(0.0).sqrt();
    let std =
        sum.iter().zip(&squares).map(deviation).map(|d| if d < 1e-4 { 1.0 } else { round(d) });
    Ok((mean, std.collect()))
}

/// The same pictures under other class names.
struct Renamed {
    set: Arc<dyn Dataset>,
    names: Vec<String>,
}

fn rename(set: Arc<dyn Dataset>, names: &[String]) -> Result<Arc<dyn Dataset>> {
    let (given, needed) = (names.len(), set.classes().len());
    if given < needed {
        return Err(Failure::input(format!(
            "[data] classes names {given} classes, the data has {needed}"
        )));
    }
    Ok(Arc::new(Renamed { set, names: names.to_vec() }))
}

impl Dataset for Renamed {
    fn len(&self) -> usize {
        self.set.len()
    }
    fn classes(&self) -> &[String] {
        &self.names
    }
    fn shape(&self) -> Option<[usize; 3]> {
        self.set.shape()
    }
    fn label(&self, i: usize) -> u32 {
        self.set.label(i)
    }
    fn read(&self, i: usize, into: &mut Image) -> data::Result<()> {
        self.set.read(i, into)
    }
}

/// One set after the other.
struct Joined {
    first: Arc<dyn Dataset>,
    second: Arc<dyn Dataset>,
}

impl Joined {
    fn find(&self, i: usize) -> (&Arc<dyn Dataset>, usize) {
        match i.checked_sub(self.first.len()) {
            None => (&self.first, i),
            Some(rest) => (&self.second, rest),
        }
    }
}

impl Dataset for Joined {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }
    fn classes(&self) -> &[String] {
        self.first.classes()
    }
    fn shape(&self) -> Option<[usize; 3]> {
        self.first.shape().filter(|&s| self.second.shape() == Some(s))
    }
    fn label(&self, i: usize) -> u32 {
        let (set, i) = self.find(i);
        set.label(i)
    }
    fn read(&self, i: usize, into: &mut Image) -> data::Result<()> {
        let (set, i) = self.find(i);
        set.read(i, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgecut_train::data::Memory;

    fn grey(values: Vec<u8>) -> Arc<dyn Dataset> {
        let n = values.len() / 4;
        let labels = (0..n as u32).map(|i| i % 2).collect();
        Arc::new(Memory::new(values, labels, [2, 2, 1], vec!["a".into(), "b".into()]).unwrap())
    }

    #[test]
    fn statistics_are_those_of_the_pixels() {
        let set = grey([0, 0, 255, 255].repeat(3));
        let p = preprocess(&set, None).unwrap();
        assert_eq!((p.height, p.width, p.mean[0], p.std[0]), (2, 2, 0.5, 0.5));
        assert_eq!(preprocess(&grey(vec![7; 8]), None).unwrap().std[0], 1.0);
    }

    #[test]
    fn joined_parts_keep_their_order() {
        let joined = Joined { first: grey(vec![1; 8]), second: grey(vec![2; 4]) };
        assert_eq!((joined.len(), joined.image(2).unwrap().pixels[0], joined.label(1)), (3, 2, 1));
    }

    #[test]
    fn too_few_class_names_are_refused() {
        assert!(rename(grey(vec![1; 8]), &["only".into()]).is_err());
        assert_eq!(rename(grey(vec![1; 8]), &["x".into(), "y".into()]).unwrap().classes()[1], "y");
    }

    #[test]
    fn spread_reaches_all_of_a_small_set() {
        assert_eq!(spread(3, 10).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(spread(100, 4).collect::<Vec<_>>(), [0, 25, 50, 75]);
        assert_eq!(spread(0, 4).count(), 0);
    }
}
