//! What the tests of the binary share: running it, and a toy data set.
#![allow(dead_code)] // each test file uses a part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use edgecut_graph::rng::Rng;

/// The binary with `args`, no colours, a working directory of its own.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgecut"));
    // The repository's own data, which the scratch folder does not have beside it.
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data");
    command.args(args).env("NO_COLOR", "1").env("EDGECUT_DATA", data).current_dir(scratch());
    // No test looks into the user's own cache.
    command.env("EDGECUT_TUNE_CACHE", scratch().join("tuning.txt"));
    command
}

/// Runs the binary to its end.
pub fn edgecut(args: &[&str]) -> Output {
    command(args).output().expect("the binary starts")
}

/// Runs the binary, which must succeed, and returns its standard output.
pub fn succeed(args: &[&str]) -> String {
    let output = edgecut(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "edgecut {args:?}: {:?}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// Runs the binary on bad input: exit code 2, a message, no panic. Returns the message.
pub fn refuse(args: &[&str]) -> String {
    let output = edgecut(args);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "edgecut {args:?}\n{errors}");
    assert!(errors.contains("error: "), "edgecut {args:?}\n{errors}");
    assert!(!errors.contains("panicked"), "edgecut {args:?}\n{errors}");
    errors
}

/// A folder that lives as long as the test program.
pub fn scratch() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}

/// Text of a path.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

/// A folder with three classes of 16x16 grey PNG pictures (stripes across, stripes along, a
/// square) under noise: easy to learn, not trivial.
pub fn toy() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let root = scratch().join("toy");
        let mut rng = Rng::new(5);
        for (part, count) in [("train", 64), ("test", 20)] {
            for class in ["across", "along", "square"] {
                let folder = root.join(part).join(class);
                std::fs::create_dir_all(&folder).expect("a folder");
                for i in 0..count {
                    picture(class, &mut rng)
                        .save(folder.join(format!("{i}.png")))
                        .expect("a picture");
                }
            }
        }
        root
    })
}

fn picture(class: &str, rng: &mut Rng) -> image::GrayImage {
    let (dx, dy) = (rng.below(4) as u32, rng.below(4) as u32);
    image::GrayImage::from_fn(16, 16, |x, y| {
        let on = match class {
            "across" => (y + dy) % 4 < 2,
            "along" => (x + dx) % 4 < 2,
            _ => (4..10).contains(&(x.wrapping_sub(dx))) && (4..10).contains(&(y.wrapping_sub(dy))),
        };
        let level = if on { 170.0 } else { 60.0 };
        image::Luma([(level + 30.0 * rng.normal()).clamp(0.0, 255.0) as u8])
    })
}

/// Options of a training on [`toy`] that takes a second or two.
pub const TOY_TRAINING: &[&str] = &[
    "--arch",
    "mobilenet-v2-s28",
    "--width",
    "0.25",
    "--epochs",
    "6",
    "--batch",
    "16",
    "--lr",
    "0.05",
    "--flip",
    "false",
    "--ema-decay",
    "0.9",
];

/// A small trained model.
pub fn model() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = scratch().join("toy.onnx");
        let mut args = vec!["train", "--data", text(toy()), "--out", text(&path), "-q"];
        args.extend(TOY_TRAINING);
        succeed(&args);
        path
    })
}

/// A network like [`model`] that has learned less.
pub fn beginner() -> &'static Path {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    MODEL.get_or_init(|| {
        let path = scratch().join("beginner.onnx");
        let mut args = vec!["train", "--data", text(toy()), "--out", text(&path), "-q"];
        args.extend(TOY_TRAINING);
        args.extend(["--limit", "48", "--seed", "3"]);
        succeed(&args);
        path
    })
}

/// `count` broken versions of `good`: cut short, and with one to four bits flipped.
pub fn broken(good: &[u8], count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed);
    (0..count)
        .map(|i| {
            if i % 2 == 0 {
                return good[..rng.below(good.len())].to_vec();
            }
            let mut bytes = good.to_vec();
            for _ in 0..=rng.below(4) {
                bytes[rng.below(good.len())] ^= 1 << rng.below(8);
            }
            bytes
        })
        .collect()
}

/// Runs the binary with `--json`, and returns its document.
pub fn json(args: &[&str]) -> serde_json::Value {
    let mut all = args.to_vec();
    all.extend(["--json", "-q"]);
    serde_json::from_str(&succeed(&all)).expect("one JSON document")
}

/// The small trained model in int8.
pub fn toy_int8() -> PathBuf {
    static MODEL: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let path = scratch().join("toy.int8.onnx");
        let data = ["--data", text(toy()), "--images", "64"];
        let out = ["--out", text(&path), "-q"];
        succeed(&[&["quantize", text(model())], &data[..], &out[..]].concat());
        path
    };
    MODEL.get_or_init(make).clone()
}

/// Writes a grey picture of this width and height.
pub fn grey_picture(path: &Path, width: u32, height: u32) {
    let shade = |x, y| image::Luma([(x * 20 + y * 7) as u8]);
    image::GrayImage::from_fn(width, height, shade).save(path).expect("a picture");
}
