//! Known data sets: what files they have, whether a folder holds them intact, and how to get them.
//!
//! A file is identified by the SHA-256 of its *content*, after gzip: packagers compress the same IDX
//! bytes anew (Debian's files differ from upstream's in the gzip header), and what matters is the data.

use super::open::Places;
use super::read::open_file;
use super::{DataError, Result};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One file of a known set.
#[derive(Clone, Debug)]
pub struct KnownFile {
    /// Its name in the set's folder. `.gz` means that the hash is of the uncompressed content.
    pub name: Cow<'static, str>,
    /// Where it is published; `None` when it only comes with the project.
    pub url: Option<Cow<'static, str>>,
    /// Bytes to download, for progress.
    pub download_bytes: u64,
    /// Bytes of the content.
    pub content_bytes: u64,
    /// SHA-256 of the content, hexadecimal.
    pub sha256: Cow<'static, str>,
}

/// A set that `open` knows by name.
#[derive(Clone, Debug)]
pub struct KnownSet {
    /// Its name in recipes.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Licence and source.
    pub license: &'static str,
    /// How to get it besides `edgecut data fetch`.
    pub hint: &'static str,
    /// Its files.
    pub files: &'static [KnownFile],
}

macro_rules! fashion {
    ($name:literal, $bytes:literal, $content:literal, $sha:literal) => {
        KnownFile {
            name: Cow::Borrowed($name),
            url: Some(Cow::Borrowed(concat!(
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                $name
            ))),
            download_bytes: $bytes,
            content_bytes: $content,
            sha256: Cow::Borrowed($sha),
        }
    };
}

const T10K_IMAGES: KnownFile = fashion!(
    "t10k-images-idx3-ubyte.gz",
    4_422_102,
    7_840_016,
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
);
const T10K_LABELS: KnownFile = fashion!(
    "t10k-labels-idx1-ubyte.gz",
    5_148,
    10_008,
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
);
const TRAIN_IMAGES: KnownFile = fashion!(
    "train-images-idx3-ubyte.gz",
    26_421_880,
    47_040_016,
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
);
const TRAIN_LABELS: KnownFile = fashion!(
    "train-labels-idx1-ubyte.gz",
    29_515,
    60_008,
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
);

/// SHA-256 of Fashion-MNIST's uncompressed test and training labels: they identify the set anywhere.
pub(crate) const FASHION_LABELS: [&str; 2] = [
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
];

/// Fashion-MNIST's class names in label order.
pub const FASHION_CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

const SETS: &[KnownSet] = &[
    KnownSet {
        name: "fashion-mnist",
        about: "60,000 + 10,000 grey 28x28 pictures of clothing in 10 classes",
        license: "MIT, Zalando SE, https://github.com/zalandoresearch/fashion-mnist",
        hint: "apt install dataset-fashion-mnist, or edgecut data fetch fashion-mnist",
        files: &[TRAIN_IMAGES, TRAIN_LABELS, T10K_IMAGES, T10K_LABELS],
    },
    KnownSet {
        name: "quickstart",
        about: "Fashion-MNIST's 10,000 test pictures, split 8,000/2,000; comes with edgecut",
        license: "MIT, Zalando SE, https://github.com/zalandoresearch/fashion-mnist",
        hint: "it lies in data/quickstart of edgecut's repository; or edgecut data fetch quickstart",
        files: &[T10K_IMAGES, T10K_LABELS],
    },
];

/// All known sets.
pub fn list() -> &'static [KnownSet] {
    SETS
}

/// A known set by name.
///
/// # Errors
/// An unknown name; the message lists the known ones.
pub fn find(name: &str) -> Result<&'static KnownSet> {
    SETS.iter().find(|set| set.name == name).ok_or_else(|| {
        let names: Vec<&str> = SETS.iter().map(|set| set.name).collect();
        DataError::Missing {
            what: format!("data set {name:?}"),
            hint: format!("known are {}", names.join(", ")),
        }
    })
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Present and equal to the published content.
    Intact,
    /// Not there.
    Missing,
    /// There, but with another content or unreadable; the message says what to do.
    Broken(String),
}

/// A file of a checked set.
#[derive(Clone, Debug)]
pub struct FileStatus {
    /// Where it is, or would be.
    pub path: PathBuf,
    /// What was found.
    pub state: State,
}

/// Checks the files of a known set where [`open`](super::open::open) would read it; with no such
/// folder, the folder that `fetch` would fill.
///
/// # Errors
/// An unknown name.
pub fn check(name: &str, places: &Places) -> Result<Vec<FileStatus>> {
    let set = find(name)?;
    let folder = places
        .find(set)
        .or_else(|| places.fetch_folder(name))
        .unwrap_or_else(|| PathBuf::from(name));
    Ok(check_folder(set.files, &folder))
}

/// Checks files in one folder.
pub fn check_folder(files: &[KnownFile], folder: &Path) -> Vec<FileStatus> {
    let status = |file: &KnownFile| {
        let path = folder.join(&*file.name);
        let state = match path.is_file() {
            false => State::Missing,
            true => match verify(file, &path, &path) {
                Ok(()) => State::Intact,
                Err(error) => State::Broken(error.to_string()),
            },
        };
        FileStatus { path, state }
    };
    files.iter().map(status).collect()
}

/// Progress of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file.
    pub file: &'a str,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all, as the server or else the registry says.
    pub total: u64,
}

/// Fetches a known set into `folder`; intact files stay as they are. Each file is written under a
/// temporary name, verified, then renamed: a file under its own name is always whole.
///
/// # Errors
/// An unknown name, a failed download, a content that is not the published one, a full disk.
pub fn fetch(
    name: &str,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<FileStatus>> {
    fetch_files(find(name)?.files, folder, progress)
}

/// As [`fetch`], for any list of files.
///
/// # Errors
/// As [`fetch`].
pub fn fetch_files(
    files: &[KnownFile],
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<FileStatus>> {
    std::fs::create_dir_all(folder).map_err(|e| DataError::io(folder, e))?;
    sweep(folder);
    for file in files {
        let path = folder.join(&*file.name);
        if !path.is_file() || verify(file, &path, &path).is_err() {
            fetch_file(file, &path, progress)?;
        }
    }
    let status =
        |file: &KnownFile| FileStatus { path: folder.join(&*file.name), state: State::Intact };
    Ok(files.iter().map(status).collect())
}

/// Temporary names end so, after the process number: two runs at once do not write into one file.
const PART: &str = ".edgecut-part";

fn fetch_file(file: &KnownFile, path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<()> {
    let url = file.url.as_deref().ok_or_else(|| DataError::Missing {
        what: file.name.to_string(),
        hint: "it has no address to fetch from".into(),
    })?;
    let part = path.with_file_name(format!("{}.{}{PART}", file.name, std::process::id()));
    let result = download(file, url, &part, progress)
        .and_then(|()| verify(file, &part, path))
        .and_then(|()| std::fs::rename(&part, path).map_err(|e| DataError::io(path, e)));
    if result.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    result
}

fn download(
    file: &KnownFile,
    url: &str,
    part: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let fail = |problem: String| DataError::Fetch { url: url.to_string(), problem };
    // Not a limit on the whole: a slow line may take long, but must not stand still.
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build()
        .into();
    let response = agent.get(url).call().map_err(|e| fail(e.to_string()))?;
    let announced = response.body().content_length();
    let total = announced.unwrap_or(file.download_bytes);
    // Compression never makes these files larger than their content.
    let limit = file.content_bytes.max(file.download_bytes);
    if total > limit {
        return Err(fail(format!("{total} bytes announced, at most {limit} expected")));
    }
    let mut body = response.into_body().into_reader().take(limit + 1);
    let mut out = File::create(part).map_err(|e| DataError::io(part, e))?;
    let mut buffer = vec![0; 1 << 16];
    let mut done = 0;
    loop {
        progress(Progress { file: &file.name, done, total });
        let n = body
            .read(&mut buffer)
            .map_err(|e| fail(format!("broke off after {done} bytes: {e}")))?;
        if n == 0 {
            break;
        }
        out.write_all(&buffer[..n]).map_err(|e| DataError::io(part, e))?;
        done += n as u64;
    }
    if done > limit || announced.is_some_and(|announced| announced != done) {
        return Err(fail(format!("{done} bytes came, {total} were expected")));
    }
    // The rename must not become durable before the content.
    out.sync_all().map_err(|e| DataError::io(part, e))
}

/// Compares the content of the file at `path` with the published one; errors speak of `shown`.
fn verify(file: &KnownFile, path: &Path, shown: &Path) -> Result<()> {
    let reader = BufReader::with_capacity(1 << 16, open_file(path)?.0);
    let content: Box<dyn Read> = match file.name.ends_with(".gz") {
        true => Box::new(MultiGzDecoder::new(reader)),
        false => Box::new(reader),
    };
    let (found, len) = hash(content.take(file.content_bytes + 1)).map_err(|e| {
        DataError::format(shown, format!("is broken ({e}); delete it and fetch it again"))
    })?;
    if len > file.content_bytes {
        return Err(DataError::format(
            shown,
            format!(
                "holds more than the {} bytes published; delete it and fetch it again",
                file.content_bytes
            ),
        ));
    }
    match found == *file.sha256 {
        true => Ok(()),
        false => Err(DataError::Checksum {
            path: shown.to_path_buf(),
            expected: file.sha256.to_string(),
            found,
        }),
    }
}

/// SHA-256 in hexadecimal, and the number of bytes.
pub(crate) fn hash(mut reader: impl Read) -> std::io::Result<(String, u64)> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut len = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                sha.update(&buffer[..n]);
                len += n as u64;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok((sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), len))
}

/// Removes what killed downloads left behind: own temporary names that nobody wrote to for an hour.
fn sweep(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let old = entry
            .metadata()
            .and_then(|data| data.modified())
            .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > Duration::from_secs(3600)));
        if old && entry.file_name().to_string_lossy().ends_with(PART) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
