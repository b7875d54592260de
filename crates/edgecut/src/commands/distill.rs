//! `edgecut distill`: a small network learns from larger ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgecut_graph::Graph;
use edgecut_kernels::Isa;
use edgecut_train::data::folder::Folder;
use edgecut_train::data::open::SPLIT_SEED;
use edgecut_train::data::{Data, Dataset, Part, Relabelled, split};
use edgecut_train::distill::{
    AnswerLoss, Distillation, FeatureLoss, FeatureMatch, Guide, TeacherModel, label, pairs,
};

use super::train::{ResultFiles, deliver, say_assumed, say_pictures, wrong};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::settings::{DataSettings, DistillMethod, DistillSettings, ModelSettings, TrainSettings};
use crate::work::model::{self, Model};
use crate::work::preprocessing::Preprocessing;
use crate::work::train::{ANSWERS, Integers, Job, prepare, train};
use crate::work::{data, shapes};
use crate::{files, progress};

/// DKD's weights of the right class and of the others.
const DECOUPLED: [f32; 2] = [1.0, 8.0];

/// Options of `distill`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut distill mobilenet-v2 teacher.onnx --data ./flowers --width 0.35 --out student.onnx
  edgecut distill student.onnx first.onnx second.tflite --data ./flowers --method decoupled --out better.onnx
  edgecut distill mobilenet-v2-s28 teacher.onnx --data ./pictures --unlabelled --out student.onnx
  edgecut quantize float.onnx --data ./flowers --bits 4 --out int4.onnx
  edgecut distill int4.onnx float.onnx --data ./flowers --epochs 5 --out better.onnx
  edgecut distill student.onnx teacher.onnx --data ./flowers --bits 4 --epochs 5 --out int4.onnx

STUDENT is an architecture of the zoo or a model; teachers may be float or int8. A network that learns
from a trained copy of itself (self-distillation) is one more teacher. A quantised student stays
quantised: its weights, biases and scales are trained (quantisation-aware training), and
where the test pictures say that this has made it worse, the result has the weights from before. Student and teachers
see the same pictures in the same variations; --alpha 1 learns from the teachers alone.")]
pub struct Args {
    /// Architecture of the zoo, or ONNX or TFLite model to begin with
    student: String,
    /// Trained models; of several the mean of the logits counts
    #[arg(required = true, value_name = "TEACHER")]
    teachers: Vec<PathBuf>,
    #[command(flatten)]
    data: DataSettings,
    /// The pictures have no classes: the teachers name them, and the student's accuracy is how often it
    /// answers as they do
    #[arg(long)]
    unlabelled: bool,
    #[command(flatten)]
    distill: DistillSettings,
    #[command(flatten)]
    model: ModelSettings,
    #[command(flatten)]
    preprocessing: Preprocessing,
    #[command(flatten)]
    integers: Integers,
    #[command(flatten)]
    train: TrainSettings,
    #[command(flatten)]
    files: ResultFiles,
}

/// Distils.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    args.data.validate().map_err(wrong)?;
    args.distill.validate().map_err(wrong)?;
    args.train.validate().map_err(wrong)?;
    let mut model_settings = args.model.clone();
    let loaded = args.teachers.iter().map(|path| teacher(path)).collect::<Result<Vec<_>>>()?;
    match is_file(&args.student) {
        true => model_settings.start = Some(PathBuf::from(&args.student)),
        false => {
            model_settings.arch = args.student.clone();
            // Both must see the same pictures.
            let side =
                model::image_input(&loaded[0].model.graph).map_err(|e| e.at(&loaded[0].path))?[1];
            model_settings.resolution = model_settings.resolution.or(Some(side));
        }
    }
    model_settings.validate().map_err(wrong)?;
    files::check_writable(&args.files.out)?;
    let teachers: Vec<TeacherModel> = loaded.iter().map(|t| t.model.clone()).collect();
    let data = match args.unlabelled {
        true => unlabelled(args, global, &loaded[0], &teachers)?,
        false => data::open(&args.data, None)?,
    };
    let job = Job {
        preprocessing: Some(&args.preprocessing),
        ..args.files.job(&data, &model_settings, &args.train)?
    };
    let mut start = prepare(&job)?;
    say_pictures(global, &data);
    say_assumed(global, &start);
    args.integers.begin(global, &job, &mut start)?;
    let distillation = distillation(args, &start.graph, &teachers[0].graph)?;
    for pair in &distillation.features {
        progress::detail(global, &format!("'{}' learns from '{}'", pair.student, pair.teacher));
    }
    let cache = Some(job.checkpoint.join(ANSWERS));
    let mut guide = Guide::new(distillation, teachers, cache, global.threads(), Isa::detect())?;
    let outcome = train(global, &job, &start, Some(&mut guide))?;
    let what = if args.unlabelled { "same answer as the teachers" } else { "test accuracy" };
    deliver(global, &job, outcome, &args.files.out, what)
}

/// Whether the student is a model rather than an architecture.
fn is_file(student: &str) -> bool {
    let path = Path::new(student);
    let model = ["onnx", "tflite"];
    path.is_file()
        || path.extension().is_some_and(|e| model.iter().any(|m| e.eq_ignore_ascii_case(m)))
}

/// A teacher, and what its file says.
struct Loaded {
    path: PathBuf,
    model: TeacherModel,
    classes: Vec<String>,
}

fn teacher(path: &Path) -> Result<Loaded> {
    let model = Model::load_float(path, &shapes::Shapes::default())?;
    let count = model::class_count(&model.graph).map_err(|e| e.at(path))?;
    let mut classes = model.card().classes()?;
    if classes.len() != count {
        classes = (0..count).map(|i| i.to_string()).collect();
    }
    let preprocess = model.preprocess()?;
    let mut graph = model.graph;
    graph.name = path.display().to_string();
    Ok(Loaded { path: path.into(), model: TeacherModel { graph, preprocess }, classes })
}

/// Pictures without classes, labelled by the teachers.
fn unlabelled(
    args: &Args,
    global: &Global,
    first: &Loaded,
    teachers: &[TeacherModel],
) -> Result<Data> {
    let root = Path::new(&args.data.source);
    let share = Part::Fraction(args.data.validation.into());
    let (train, test) = split(Arc::new(Folder::unlabelled(root)?), SPLIT_SEED, share)?;
    let preprocess = match &first.model.preprocess {
        Some(known) => known.clone(),
        None => {
            let side = model::image_input(&first.model.graph).map_err(|e| e.at(&first.path))?[1];
            data::preprocess(&(Arc::new(train.clone()) as Arc<dyn Dataset>), Some(side))?
        }
    };
    progress::say(global, "the teachers name the pictures");
    let name = |set: Arc<dyn Dataset>| -> Result<Arc<dyn Dataset>> {
        let classes = first.classes.clone();
        let labels = label(teachers, set.clone(), &preprocess, classes.len(), global.threads())?;
        Ok(Arc::new(Relabelled::new(set, labels, classes)?))
    };
    let note = "The pictures have no classes: accuracy is the share on which the student answers as \
                its teachers.";
    Ok(Data {
        name: root.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        train: name(Arc::new(train))?,
        test: name(Arc::new(test))?,
        note: Some(note.into()),
    })
}

/// The settings as the trainer takes them.
fn distillation(args: &Args, student: &Graph, teacher: &Graph) -> Result<Distillation> {
    let settings = &args.distill;
    let temperature = settings.temperature;
    let loss = match settings.method.contains(&DistillMethod::Decoupled) {
        true => {
            let [target, others] = DECOUPLED;
            AnswerLoss::Decoupled { temperature, target, others }
        }
        false => AnswerLoss::Soft { temperature },
    };
    let mut features = vec![];
    for method in &settings.method {
        let (loss, usual) = match method {
            DistillMethod::Soft | DistillMethod::Decoupled => continue,
            DistillMethod::Hint => (FeatureLoss::Hint, 1.0),
            DistillMethod::Attention => (FeatureLoss::Attention, 15.0),
            DistillMethod::Relation => (FeatureLoss::Relation, 25.0),
        };
        let named = |pair: &String| {
            pair.split_once('=').map(|(own, theirs)| (own.to_string(), theirs.to_string()))
        };
        let found = match settings.matches.is_empty() {
            true => pairs(loss, student, teacher),
            false => settings.matches.iter().filter_map(named).collect(),
        };
        if found.is_empty() {
            let problem = "student and teacher have no images of one size inside";
            return Err(Failure::input(problem).hint("name values with --match STUDENT=TEACHER"));
        }
        let weight = settings.feature_weight.unwrap_or(usual) / found.len() as f32;
        let pair = |(student, teacher)| FeatureMatch { loss, weight, student, teacher };
        features.extend(found.into_iter().map(pair));
    }
    let labels = if args.unlabelled { 0.0 } else { 1.0 - settings.alpha };
    let answers = if args.unlabelled { 1.0 } else { settings.alpha };
    Ok(Distillation { labels, answers, loss, features, rates: vec![], views: settings.views })
}
