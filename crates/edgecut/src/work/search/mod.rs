//! Search for the networks that fit one task and one device.
//!
//! | file | concern |
//! | --- | --- |
//! | `place` | where networks run to be measured |
//! | `device` | some networks of the space, measured; what the others cost |
//! | `together` | where a server computes a part of each: the best cut |
//! | `limits` | what they leave of the space |
//! | `shared` | the weights that all networks share |
//! | `trials` | which networks are judged, and how it goes |
//! | `winners` | the best of the front, trained to the end, quantised, measured |
//! | `found` | what a search has found, as written to disk |
//! | `remote` | workers on other machines |
//! | `explain` | one network: its blocks, where it comes from, where its time goes |
//!
//! Each stage keeps what it did in the folder of the search, and goes on from there.

mod device;
mod explain;
mod found;
mod limits;
mod place;
mod remote;
mod shared;
mod together;
mod trials;
mod winners;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_kernels::{Isa, Pool};
use edgecut_search::arch::{ArchSpace, SpaceFile};
use edgecut_search::supernet::{Judge, Pictures};
use edgecut_search::{Costs, SearchError, Subnets};
use edgecut_train::data::open::SPLIT_SEED;
use edgecut_train::data::{Data, Dataset, Part, Preprocess, Resize, split};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress::say;
use crate::settings::{Deployed, SearchSettings, TrainSettings};
use crate::work::data;
use crate::{files, term};

pub use explain::explain;
pub use found::{Found, Net, Winner};
pub use remote::Meeting;

use device::DeviceCosts;
use place::Place;

/// Pictures that BatchNorm's statistics of a network are taken from.
const CALIBRATION: usize = 1024;
/// Pictures that are judged at a time.
const BATCH: usize = 256;

/// Files in the folder of a search.
const DEVICE: &str = "device.jsonl";
const SHARED: &str = "shared.checkpoint";
const JOURNAL: &str = "journal";
const FOUND: &str = "search.json";
const PAGE: &str = "report.html";

/// A search.
pub struct Task<'a> {
    pub global: &'a Global,
    pub settings: &'a SearchSettings,
    /// How shared weights and winners are trained.
    pub training: &'a TrainSettings,
    /// Its test part is looked at once, in the end.
    pub data: &'a Data,
    pub pool: &'a Arc<Pool>,
    pub folder: PathBuf,
    /// Where workers come; without it networks are judged here.
    pub meeting: Option<Meeting>,
}

/// What all stages see.
pub struct Stage<'a> {
    task: &'a Task<'a>,
    /// Where networks run to be measured.
    place: Place,
    space: ArchSpace,
    /// Channels and side of the pictures that it was made for.
    input: [usize; 2],
    /// How pictures become the input of the networks with the largest one.
    preprocess: Preprocess,
    /// Training pictures without those held out, and these as the test part.
    pictures: Data,
}

impl Task<'_> {
    /// Searches, or goes on searching.
    pub fn go(&self) -> Result<Found> {
        files::make_folder(&self.folder)?;
        let mut stage = self.stage()?;
        let mut found = self.begin(&stage)?;
        let costs = DeviceCosts::measure(&stage)?;
        found.about_device(&stage, &costs)?;
        limits::apply(&mut stage, &costs, &mut found)?;
        let weights = shared::train(&stage)?;
        let prepare = |set: &Arc<dyn Dataset>, most: usize| {
            Pictures::prepare(set, &stage.preprocess, BATCH, most)
        };
        let calibration = prepare(&stage.pictures.train, CALIBRATION)?;
        let judged = prepare(&stage.pictures.test, usize::MAX)?;
        let machine = (self.global.threads(), Isa::detect());
        let judge =
            || Judge { weights: &weights, calibration: &calibration, pictures: &judged, machine };
        let problem = Subnets::new(&stage.space, judge(), &costs);
        let history = trials::run(&stage, (&problem, &judge()), costs.digest(), &mut found)?;
        found.about_trials(&history, &problem);
        winners::finish(&stage, &judge(), &costs, &mut found)?;
        found.save(&self.folder)?;
        match found.winners.iter().any(|winner| winner.over.is_empty()) {
            true => Ok(found),
            false => Err(Failure::not_met("no winner is within the limits as it was measured")
                .hint(format!("see {}", self.folder.join(PAGE).display()))),
        }
    }

    fn stage(&self) -> Result<Stage<'_>> {
        let settings = self.settings;
        // Before anything long: it may be wrong.
        together::Together::of(settings)?;
        let preprocess = data::preprocess(&self.data.train, settings.resolution)?;
        if preprocess.height != preprocess.width {
            let (h, w) = (preprocess.height, preprocess.width);
            let problem = format!("pictures are {h}x{w}, the space's networks take square ones");
            return Err(Failure::input(problem).hint("set a resolution: --resolution 96"));
        }
        let held_out = settings.held_out.min(self.data.train.len() / 5);
        let (learned, held_out) =
            split(self.data.train.clone(), SPLIT_SEED, Part::Count(held_out))?;
        let classes = self.data.train.classes().len();
        let input = [preprocess.channels.count(), preprocess.height];
        let file = SpaceFile::open(&settings.space)?;
        let file = if settings.deploy == Deployed::Float { file.in_float() } else { file };
        let space = ArchSpace::new(file, input, classes)?;
        let preprocess = at_side(&preprocess, space.side());
        let pictures =
            Data { train: Arc::new(learned), test: Arc::new(held_out), ..self.data.clone() };
        let place = Place::open(settings)?;
        Ok(Stage { task: self, place, space, input, preprocess, pictures })
    }

    /// What is known before anything was done, or from an earlier run.
    fn begin(&self, stage: &Stage) -> Result<Found> {
        let found = Found::new(stage)?;
        let [learn, judge, end] = found.pictures.map(|count| term::count(count as u64));
        let name = &self.data.name;
        say(
            self.global,
            &format!(
                "data: {name}, {learn} pictures to learn from, {judge} to judge by, {end} for the end"
            ),
        );
        say(
            self.global,
            &format!(
                "space: {}, {} networks",
                found.space.name,
                term::short_number(&found.space_size)
            ),
        );
        match Found::read(&self.folder)? {
            Some(before) => found.after(before, &self.folder),
            None => Ok(found),
        }
    }
}

/// Pictures as `preprocess` makes them, but with `side` pixels.
fn at_side(preprocess: &Preprocess, side: usize) -> Preprocess {
    let resize = match preprocess.resize {
        Resize::ShorterSide { .. } => Resize::ShorterSide { size: side },
        other => other,
    };
    Preprocess { height: side, width: side, resize, ..preprocess.clone() }
}

/// Removes what an earlier search left in `folder`.
pub fn clear(folder: &Path) -> Result<()> {
    for name in [DEVICE, SHARED, JOURNAL, FOUND, PAGE] {
        let path = folder.join(name);
        if path.exists() {
            std::fs::remove_file(&path).map_err(|e| Failure::io(&path, &e))?;
        }
    }
    winners::clear(folder)
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Failure {
        match error {
            SearchError::Train(error) => error.into(),
            error => Failure::input(error.to_string()),
        }
    }
}
