//! One way in: a name or a path becomes a training and a test part.

use super::folder;
use super::idx;
use super::memory::Memory;
use super::registry::{self, FASHION_CLASSES, FASHION_LABELS, KnownSet};
use super::subset::{Part, split};
use super::{DataError, Dataset, Result, cifar, numpy};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Seed of every split that nobody asked a seed for. Part of the project's results: never changed.
pub const SPLIT_SEED: u64 = 1;

/// Test samples of the quickstart set; the other 8,000 are for training.
pub const QUICKSTART_TEST: usize = 2_000;

/// Says what results on the quickstart set are.
pub const QUICKSTART_NOTE: &str = "quickstart: 8,000 training and 2,000 test pictures, both from \
    Fashion-MNIST's 10,000-picture test file. Results are on this re-split and are never \
    Fashion-MNIST accuracy.";

/// A data set, ready to train and test on.
#[derive(Clone)]
pub struct Data {
    /// The known name, or the last part of the path.
    pub name: String,
    /// For training.
    pub train: Arc<dyn Dataset>,
    /// For evaluation; never trained on.
    pub test: Arc<dyn Dataset>,
    /// What a report must say beside any result on this data.
    pub note: Option<String>,
}

/// How to read a set that does not say everything itself.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Seed of the split, where a set has no test part.
    pub seed: u64,
    /// Share of the samples for testing, where a set has no test part.
    pub test_fraction: f64,
    /// Labels of a `.npy` file of pictures; without it they are looked for beside the file.
    pub labels: Option<PathBuf>,
    /// Where relative paths and named sets are looked for.
    pub places: Places,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions {
            seed: SPLIT_SEED,
            test_fraction: 0.2,
            labels: None,
            places: Places::from_env(),
        }
    }
}

/// Folders in which named sets are looked for.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Folder of the recipe: relative paths start here, `data/NAME` is looked for here and above.
    pub recipe: Option<PathBuf>,
    /// The working directory: the same, after `recipe`.
    pub working: Option<PathBuf>,
    /// A folder with one sub-folder per set: environment variable `EDGECUT_DATA`.
    pub data: Option<PathBuf>,
    /// Where fetched sets lie: `EDGECUT_CACHE`, else `$XDG_CACHE_HOME/edgecut/data`, else
    /// `~/.cache/edgecut/data`.
    pub cache: Option<PathBuf>,
    /// Where the system's packages put data sets: `/usr/share/datasets`.
    pub system: Option<PathBuf>,
}

/// How many folders above the recipe and the working directory are searched for `data/NAME`.
const LEVELS_UP: usize = 4;

impl Places {
    /// The environment's.
    pub fn from_env() -> Places {
        let folder =
            |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let cache = folder("EDGECUT_CACHE").or_else(|| {
            let base = folder("XDG_CACHE_HOME")
                .or_else(|| folder("HOME").map(|home| home.join(".cache")))?;
            Some(base.join("edgecut").join("data"))
        });
        Places {
            recipe: None,
            working: std::env::current_dir().ok(),
            data: folder("EDGECUT_DATA"),
            cache,
            system: Some(PathBuf::from("/usr/share/datasets")),
        }
    }

    /// The same, for a recipe in `folder`.
    pub fn for_recipe(self, folder: &Path) -> Places {
        // An empty parent is what `Path::parent` gives for a bare file name.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        Places {
            recipe: Some(std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf())),
            ..self
        }
    }

    /// Candidate folders of a named set, best first.
    pub fn candidates(&self, name: &str) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for base in self.recipe.iter().chain(&self.working) {
            folders
                .extend(base.ancestors().take(LEVELS_UP + 1).map(|up| up.join("data").join(name)));
        }
        for root in self.data.iter().chain(&self.cache).chain(&self.system) {
            folders.push(root.join(name));
        }
        folders
    }

    /// The first candidate that has all files of a known set.
    pub fn find(&self, set: &KnownSet) -> Option<PathBuf> {
        let complete =
            |folder: &PathBuf| set.files.iter().all(|file| folder.join(&*file.name).is_file());
        self.candidates(set.name).into_iter().find(complete)
    }

    /// Where `fetch` puts a set unless told otherwise: the cache.
    pub fn fetch_folder(&self, name: &str) -> Option<PathBuf> {
        self.cache.as_ref().map(|cache| cache.join(name))
    }

    /// A path as a recipe means it.
    fn resolve(&self, path: &Path) -> PathBuf {
        let beside = self
            .recipe
            .iter()
            .chain(&self.working)
            .map(|base| base.join(path))
            .find(|p| p.exists());
        beside.unwrap_or_else(|| path.to_path_buf())
    }
}

/// Opens a known set by name, or a path: a folder of IDX files, of CIFAR `.bin` files or of pictures;
/// a `.npz`, `.npy` or `.bin` file. A known name wins over a path of the same spelling; write `./name`
/// for the path.
///
/// A set without a test part is split by `options.seed`; `note` then says so.
///
/// # Errors
/// Nothing found (with where it was looked for and how to get it), or files that are not what they
/// should be, by name.
pub fn open(name_or_path: &str, options: &OpenOptions) -> Result<Data> {
    if let Ok(set) = registry::find(name_or_path) {
        return open_known(set, &options.places);
    }
    let (name, parts) = open_path(name_or_path, options)?;
    finish(name, parts, options)
}

/// Opens a set to evaluate a model on that was trained elsewhere: the test part where the set has
/// one, else all its samples, unsplit. The second value is the note of [`Data`].
///
/// # Errors
/// As [`open`].
pub fn open_for_evaluation(
    name_or_path: &str,
    options: &OpenOptions,
) -> Result<(Arc<dyn Dataset>, Option<String>)> {
    if let Ok(set) = registry::find(name_or_path) {
        return open_known(set, &options.places).map(|data| (data.test, data.note));
    }
    let (_, Parts(whole, test)) = open_path(name_or_path, options)?;
    Ok((test.unwrap_or(whole), None))
}

/// The name and the parts of a set given by path.
fn open_path(name_or_path: &str, options: &OpenOptions) -> Result<(String, Parts)> {
    let path = options.places.resolve(Path::new(name_or_path));
    if !path.exists() {
        let names: Vec<&str> = registry::list().iter().map(|set| set.name).collect();
        return Err(DataError::Missing {
            what: format!("data set {name_or_path:?}"),
            hint: format!("it is neither a path nor one of {}", names.join(", ")),
        });
    }
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let parts = match path.is_dir() {
        true => open_folder(&path)?,
        false => open_file(&path, options)?,
    };
    Ok((stem.unwrap_or_else(|| name_or_path.to_string()), parts))
}

/// The whole set or its training part, and the test part where there is one.
struct Parts(Arc<dyn Dataset>, Option<Arc<dyn Dataset>>);

impl Parts {
    fn new<D: Dataset + 'static>(train: D, test: Option<D>) -> Parts {
        Parts(Arc::new(train), test.map(|test| Arc::new(test) as Arc<dyn Dataset>))
    }
}

fn open_known(set: &KnownSet, places: &Places) -> Result<Data> {
    let folder = places.find(set).ok_or_else(|| {
        let candidates = places.candidates(set.name);
        let looked: Vec<String> = candidates.iter().map(|p| p.display().to_string()).collect();
        DataError::Missing {
            what: format!("data set {}", set.name),
            hint: format!("get it with: {}. Looked in {}", set.hint, looked.join(", ")),
        }
    })?;
    let Parts(train, test) =
        open_idx(&folder)?.ok_or_else(|| DataError::format(&folder, "holds no IDX files"))?;
    let (train, test, note) = match (set.name, test) {
        ("quickstart", _) => {
            let (train, test) = split(train, SPLIT_SEED, Part::Count(QUICKSTART_TEST))?;
            let note = Some(QUICKSTART_NOTE.to_string());
            (Arc::new(train) as Arc<dyn Dataset>, Arc::new(test) as Arc<dyn Dataset>, note)
        }
        (_, Some(test)) => (train, test, None),
        (_, None) => return Err(DataError::format(&folder, "has no test part")),
    };
    Ok(Data { name: set.name.to_string(), train, test, note })
}

fn open_folder(path: &Path) -> Result<Parts> {
    if let Some(parts) = open_idx(path)? {
        return Ok(parts);
    }
    let records = cifar::find_files(path)?;
    let test = match records.test.is_empty() {
        true => None,
        false => Some(cifar::read(&records.test)?),
    };
    match (records.train.is_empty(), test) {
        (false, test) => Ok(Parts::new(cifar::read(&records.train)?, test)),
        (true, Some(only)) => Ok(Parts::new(only, None)),
        (true, None) => {
            let folder::Parts { train, test } = folder::read(path)?;
            Ok(Parts::new(train, test))
        }
    }
}

fn open_file(path: &Path, options: &OpenOptions) -> Result<Parts> {
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    match end.as_str() {
        "npz" => {
            let numpy::Parts { train, test } = numpy::read_npz(path)?;
            Ok(Parts::new(train, test))
        }
        "npy" => {
            let given = options.labels.as_ref().map(|labels| options.places.resolve(labels));
            let labels = given.or_else(|| numpy::guess_labels(path)).ok_or_else(|| {
                DataError::format(
                    path,
                    "has no labels beside it; name their file (labels = \"y.npy\")",
                )
            })?;
            Ok(Parts::new(numpy::read_npy(path, &labels)?, None))
        }
        "bin" => Ok(Parts::new(cifar::read(&[path.to_path_buf()])?, None)),
        _ => Err(DataError::format(
            path,
            "is not a data set: expected a folder, a .npz, a .npy or a CIFAR .bin file",
        )),
    }
}

/// The IDX files of a folder, if it has any.
fn open_idx(folder: &Path) -> Result<Option<Parts>> {
    let read = |pair: &idx::IdxPair| {
        idx::read_pair(&pair.images, &pair.labels).and_then(|set| name_classes(set, pair))
    };
    let train = idx::find_pair(folder, "train");
    let test = ["t10k", "test", "val"].iter().find_map(|prefix| idx::find_pair(folder, prefix));
    Ok(match (train, test) {
        (Some(train), Some(test)) => Some(Parts::new(read(&train)?, Some(read(&test)?))),
        (Some(only), None) | (None, Some(only)) => Some(Parts::new(read(&only)?, None)),
        (None, None) => None,
    })
}

/// IDX knows labels only by number; names come from `classes.txt` (one a line), or are
/// Fashion-MNIST's where the labels are.
fn name_classes(set: Memory, pair: &idx::IdxPair) -> Result<Memory> {
    let file = pair.labels.with_file_name("classes.txt");
    if file.is_file() {
        let names = super::read::text_lines(&file)?;
        return set
            .with_classes(names)
            .map_err(|error| DataError::format(&file, error.to_string()));
    }
    let header = [&[0, 0, 8, 1][..], &(set.len() as u32).to_be_bytes()].concat();
    let labels: Vec<u8> = (0..set.len()).map(|i| set.label(i) as u8).collect();
    let (found, _) = registry::hash(std::io::Read::chain(&header[..], &labels[..]))
        .map_err(|e| DataError::io(&pair.labels, e))?;
    match FASHION_LABELS.contains(&found.as_str()) {
        true => set.with_classes(FASHION_CLASSES.map(str::to_string).to_vec()),
        false => Ok(set),
    }
}

fn finish(name: String, Parts(train, test): Parts, options: &OpenOptions) -> Result<Data> {
    if let Some(test) = test {
        if test.classes().len() > train.classes().len() {
            return Err(DataError::invalid(
                name,
                format!(
                    "test has {} classes, training {}",
                    test.classes().len(),
                    train.classes().len()
                ),
            ));
        }
        return Ok(Data { name, train, test, note: None });
    }
    let (rest, part) = split(train, options.seed, Part::Fraction(options.test_fraction))?;
    let note = format!(
        "{name}: has no test part; {} of {} samples were set apart by seed {}.",
        part.len(),
        rest.len() + part.len(),
        options.seed
    );
    Ok(Data { name, train: Arc::new(rest), test: Arc::new(part), note: Some(note) })
}
