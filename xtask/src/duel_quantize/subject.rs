//! The models and the pictures that they are judged with.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::contender::Tools;
use super::finish;

/// Channels of the input, and `(scale, mean, std)` of `(pixel * scale - mean) / std`.
type Input = (&'static str, f64, [f64; 3], [f64; 3]);

const TORCHVISION: Input = ("rgb", 1.0 / 255.0, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
const TF: Input = ("rgb", 1.0 / 127.5, [1.0; 3], [1.0; 3]);
const LITE0: Input = ("rgb", 1.0, [127.0; 3], [128.0; 3]);
const CAFFE: Input = ("bgr", 1.0, [104.0, 117.0, 123.0], [1.0; 3]);
const CIFAR: Input = ("rgb", 1.0 / 255.0, [0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]);
const BYTES: Input = ("rgb", 1.0, [0.0; 3], [1.0; 3]);
const UNIT: Input = ("rgb", 1.0 / 255.0, [0.0; 3], [1.0; 3]);

/// Where a float model comes from.
enum Float {
    /// A file of EDGECUT_DATA/models.
    Shared(&'static str),
    /// Trained by `duel_train.py` on CIFAR-10 (JPEG).
    TrainedHere,
    /// Trained by edgecut, with the recipe of this name.
    Recipe(&'static str),
}

/// Where the pictures come from.
enum Pictures {
    /// EDGECUT_DATA/sets/imagenet-sample-256-dev.
    ImageNet,
    /// EDGECUT_DATA/sets/cifar10_lossless_train3000.
    Cifar,
    /// EDGECUT_DATA/sets/cifar10-jpeg-test.
    CifarJpeg,
    /// Fashion-MNIST's test file, which comes with the repository.
    Fashion,
}

/// A float model and its pictures.
pub struct Subject {
    pub name: &'static str,
    float: Float,
    pictures: Pictures,
    side: usize,
    input: Option<Input>,
    /// Pictures to evaluate on, at most: all that calibration leaves, within reason.
    evaluate: usize,
}

/// `input` of the recipe's network is in its file.
pub const SUBJECTS: [Subject; 9] = [
    shared("mobilenet-v1-0.25", "mobilenet_v1_0.25_224", Pictures::ImageNet, 224, TF),
    shared("mobilenet-v2", "mobilenet_v2_torchvision", Pictures::ImageNet, 224, TORCHVISION),
    shared("efficientnet-lite0", "efficientnet_lite0", Pictures::ImageNet, 224, LITE0),
    shared("squeezenet", "squeezenet1.1_ndf", Pictures::ImageNet, 224, CAFFE),
    shared("resnet20", "resnet20_cifar10", Pictures::Cifar, 32, CIFAR),
    shared("resnet8", "resnet8_mlperf_cifar10", Pictures::Cifar, 32, BYTES),
    shared("yolo-fastestv2", "yolo_fastestv2_shufflenetv2_352", Pictures::ImageNet, 352, UNIT),
    Subject {
        name: "mobilenet-v3-cifar",
        float: Float::TrainedHere,
        pictures: Pictures::CifarJpeg,
        side: 32,
        input: Some(CIFAR),
        evaluate: 3000,
    },
    Subject {
        name: "fashion",
        float: Float::Recipe("quickstart"),
        pictures: Pictures::Fashion,
        side: 28,
        input: None,
        evaluate: 3000,
    },
];

const fn shared(
    name: &'static str,
    file: &'static str,
    pictures: Pictures,
    side: usize,
    input: Input,
) -> Subject {
    let float = Float::Shared(file);
    Subject { name, float, pictures, side, input: Some(input), evaluate: 3000 }
}

/// What a round has, as `duel_data.py` wrote it, and where its results go.
pub struct Files {
    pub float: PathBuf,
    pub preprocess: PathBuf,
    pub folder: PathBuf,
    /// How many pictures calibrate.
    pub images: usize,
}

impl Files {
    /// Pictures for `edgecut quantize --data`, in a training and a test part.
    pub fn pictures(&self) -> PathBuf {
        self.folder.join("pictures")
    }

    pub fn calibration(&self) -> PathBuf {
        self.folder.join("calibration.npy")
    }

    pub fn evaluation(&self) -> PathBuf {
        self.folder.join("evaluation.npy")
    }
}

impl Subject {
    /// Finds or trains the float model and writes the pictures that `seed` draws.
    pub fn prepare(&self, tools: &Tools, seed: u64, images: usize) -> Result<Files, String> {
        let folder = tools.work.join(self.name).join(format!("{images}-{seed}"));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let float = self.float(tools)?;
        let preprocess = folder.join("preprocess.json");
        let files = Files { float, preprocess, folder, images };
        let description = self.description(&files.float)?;
        std::fs::write(&files.preprocess, description)
            .map_err(|e| format!("{}: {e}", files.preprocess.display()))?;
        if !files.evaluation().exists() {
            let mut command = tools.python("duel_data.py");
            command.arg(self.source(tools)?).arg(&files.preprocess).arg(images.to_string());
            command.arg(self.evaluate.to_string()).arg(seed.to_string()).arg(&files.folder);
            finish(command)?;
        }
        Ok(files)
    }

    fn float(&self, tools: &Tools) -> Result<PathBuf, String> {
        match self.float {
            Float::Shared(file) => {
                let path = tools.data.join("models").join(file).with_added_extension("onnx");
                path.exists().then_some(path).ok_or("needs EDGECUT_DATA/models".into())
            }
            Float::TrainedHere => {
                let path = tools.work.join("mobilenet_v3_small_cifar.onnx");
                if !path.exists() {
                    let pictures = unpacked(tools, "cifar10-jpeg-train.tar.zst")?;
                    let mut command = tools.python("duel_train.py");
                    command.arg(pictures).arg(&path);
                    finish(command)?;
                }
                Ok(path)
            }
            Float::Recipe(name) => {
                let out = tools.work.join(format!("recipe-{name}"));
                let path = out.join("float.onnx");
                if !path.exists() {
                    let recipe = tools.root.join("recipes").join(name).with_extension("toml");
                    let mut command = tools.edgecut()?;
                    command.arg("deploy").arg(recipe).arg("--out").arg(&out);
                    finish(command)?;
                }
                Ok(path)
            }
        }
    }

    /// What `edgecut --preprocess FILE.json` takes, for pictures of the input's size.
    fn description(&self, float: &Path) -> Result<String, String> {
        let Some((channels, scale, mean, std)) = self.input else {
            let graph = edgecut_graph::onnx::import(float).map_err(|e| e.to_string())?;
            let found = graph.metadata.iter().find(|(key, _)| *key == "edgecut.preprocess");
            let text = found.map(|(_, text)| text.clone());
            return text.ok_or_else(|| format!("{}: has no preprocessing", float.display()));
        };
        let description = serde_json::json!({
            "height": self.side, "width": self.side, "channels": channels,
            "resize": {"policy": "exact"}, "scale": scale, "mean": mean, "std": std,
        });
        Ok(description.to_string())
    }

    fn source(&self, tools: &Tools) -> Result<PathBuf, String> {
        match self.pictures {
            Pictures::ImageNet => unpacked(tools, "imagenet-sample-256-dev.tar.zst"),
            Pictures::Cifar => unpacked(tools, "cifar10_lossless_train3000.bin.zst"),
            Pictures::CifarJpeg => unpacked(tools, "cifar10-jpeg-test.tar.zst"),
            Pictures::Fashion => {
                let file = tools.root.join("data/quickstart/t10k-images-idx3-ubyte.gz");
                file.exists().then_some(file).ok_or("needs data/quickstart".into())
            }
        }
    }
}

/// The content of an archive of EDGECUT_DATA/sets, unpacked once by tar or zstd.
fn unpacked(tools: &Tools, archive: &str) -> Result<PathBuf, String> {
    let from = tools.data.join("sets").join(archive);
    if !from.exists() {
        return Err(format!("needs {}", from.display()));
    }
    let to = tools.work.join("sets").join(archive.trim_end_matches(".zst"));
    if to.exists() {
        return Ok(to);
    }
    let unfinished = to.with_extension("unfinished");
    let folder = tools.work.join("sets");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut command;
    if archive.contains(".tar.") {
        let _ = std::fs::remove_dir_all(&unfinished);
        std::fs::create_dir(&unfinished).map_err(|e| e.to_string())?;
        command = Command::new("tar");
        command.arg("--zstd").arg("-xf").arg(&from).arg("-C").arg(&unfinished);
    } else {
        command = Command::new("zstd");
        command.args(["-q", "-d", "-f", "-o"]).arg(&unfinished).arg(&from);
    }
    finish(command)?;
    std::fs::rename(&unfinished, &to).map_err(|e| e.to_string())?;
    Ok(to)
}
