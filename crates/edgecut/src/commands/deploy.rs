//! `edgecut deploy`: a recipe in, checked models and a report out.
//!
//! Each stage writes whole files only. Training goes on from its checkpoint, the way to a budget from
//! its journal; the other stages are short and done again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use edgecut_compress::Limits;
use edgecut_graph::Graph;
use edgecut_graph::cost::cost;
use edgecut_kernels::Pool;
use edgecut_train::data::open::SPLIT_SEED;
use edgecut_train::data::{Data, Dataset, Part, Preprocess, split};
use edgecut_train::{Ending, TrainOutcome};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files::{self, make_folder, quote};
use crate::host::{self, Machine};
use crate::interrupt;
use crate::progress::{detail, say};
use crate::recipe::Recipe;
use crate::report::collect::{self, Measured};
use crate::report::{
    self, Check, DataFacts, Epoch, ModelFacts, Report, Stage, TrainingFacts, Variant,
};
use crate::stats::{Share, Times};
use crate::work::calibrate::{Pictures, remarks, to_int8};
use crate::work::classify::classify;
use crate::work::data;
use crate::work::model::{self, Model};
use crate::work::time::{Subject, in_turn};
use crate::work::train::{CHECKPOINT_EVERY, Job, prepare, train};
use crate::work::way::{Task, Way};

/// Names of the results in the folder.
const FLOAT: &str = "float.onnx";
const INT8: &str = "int8.onnx";
/// The float network that the quantised one of a way was made from.
const SMALL: &str = "small.onnx";
/// Milliseconds that timing both models should take, and bounds of its runs.
const TIMING_MS: f64 = 4000.0;
const RUNS: (usize, usize) = (50, 1000);
const PROFILED: usize = 100;

/// Options of `deploy`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut deploy recipes/quickstart.toml --out out/quickstart
  edgecut deploy recipe.toml --threads 1 --json

With a [budget] in the recipe (latency, memory, size or energy, and the points of accuracy that may be
lost for it) the network is pruned, taught by itself and quantised in measured steps until it is
within the budget, and the report shows every step and the front of all networks tried.
The same command after an interruption (also kill -9) goes on where it was.
Exit code 1 means that a target of the recipe was missed; everything is written all the same.")]
pub struct Args {
    /// The recipe; `edgecut new` writes one to begin with
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// Folder of the results [default: what the recipe says]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Begin anew even if there is a checkpoint
    #[arg(long)]
    restart: bool,
}

/// Deploys.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let recipe = Recipe::read(&args.recipe)?;
    let out = args.out.clone().or(recipe.out.folder.clone()).ok_or_else(|| {
        Failure::input("no folder for the results")
            .hint("give one: --out DIR, or [out] folder in the recipe")
    })?;
    let deployment = Deployment { args, global, recipe, out, pool: global.pool() };
    let report = deployment.run()?;
    if global.json {
        files::print_json(&report)?;
    } else {
        deployment.show(&report);
    }
    match report.checks.iter().find(|c| !c.met) {
        None => Ok(()),
        Some(c) => {
            Err(Failure::not_met(format!("{} is {}, wanted {}", c.name, c.measured, c.wanted))
                .hint(format!("see {}", deployment.out.join("report.html").display())))
        }
    }
}

struct Deployment<'a> {
    args: &'a Args,
    global: &'a Global,
    recipe: Recipe,
    out: PathBuf,
    pool: Arc<Pool>,
}

impl Deployment<'_> {
    fn run(&self) -> Result<Report> {
        let mut stages = vec![];
        let data = data::open(&self.recipe.data, self.args.recipe.parent())?;
        make_folder(&self.out.join("work"))?;
        let (train, test) = (data.train.len(), data.test.len());
        say(
            self.global,
            &format!("data: {}, {train} training and {test} test pictures", data.name),
        );
        let (deciding, data) = self.parts(data)?;

        let First { graph, preprocess, training, seconds } = self.first(&deciding)?;
        stage(&mut stages, "train", seconds);
        let float = self.out.join(FLOAT);
        model::save(&graph, &float)?;

        let began = Instant::now();
        let int8 = self.out.join(INT8);
        let way = self.way(&deciding, &preprocess, &float)?;
        match way {
            Some(_) => stage(&mut stages, "prune, learn, quantise", began.elapsed().as_secs_f64()),
            None => {
                self.quantize(&graph, &data, &preprocess, &int8)?;
                stage(&mut stages, "quantise", began.elapsed().as_secs_f64());
            }
        }

        // From here on the files are measured, not what was in memory when they were written.
        let models = [Model::load(&float)?, Model::load(&int8)?];
        let began = Instant::now();
        let answers = |name: &str, m: &Model| {
            classify(self.global, name, &m.graph, &self.pool, &data.test, &preprocess, 0)
        };
        let (float_answers, int8_answers) =
            (answers("test float", &models[0])?, answers("test int8", &models[1])?);
        stage(&mut stages, "test", began.elapsed().as_secs_f64());

        let began = Instant::now();
        let [float_measured, int8_measured] = self.time(&models)?;
        stage(&mut stages, "time", began.elapsed().as_secs_f64());

        let classes = data.test.classes().len();
        let float_variant = collect::variant(&float, &float_answers, classes, float_measured)?;
        let int8_variant = collect::variant(&int8, &int8_answers, classes, int8_measured)?;
        let agreement = float_answers.agreement(&int8_answers);
        let report = Report {
            schema: report::SCHEMA,
            name: self.name(),
            created: host::utc_now(),
            data: data_facts(&data),
            model: self.model_facts(&graph, &preprocess)?,
            training,
            stages,
            checks: self.checks(way.as_ref(), [&float_variant, &int8_variant], agreement),
            way,
            float: float_variant,
            int8: int8_variant,
            agreement,
            machine: Machine::this(self.pool.threads()),
            commands: self.commands(),
            pictures: collect::pictures(&data.test, &float_answers, &int8_answers)?,
            recipe: self.recipe.clone(),
        };
        files::write_json(&self.out.join("report.json"), &report)?;
        files::write(&self.out.join("report.html"), report::page(&report).as_bytes())?;
        Ok(report)
    }

    /// The data that decides, and the data of the final figures. On a way much is chosen by its test
    /// pictures, so one half of them decides, and the other is looked at only in the end.
    fn parts(&self, data: Data) -> Result<(Data, Data)> {
        if self.recipe.budget.is_none() {
            return Ok((data.clone(), data));
        }
        let (deciding, last) = split(data.test.clone(), SPLIT_SEED, Part::Fraction(0.5))?;
        let with = |test: Arc<dyn Dataset>| Data { test, ..data.clone() };
        Ok((with(Arc::new(deciding)), with(Arc::new(last))))
    }

    /// The float network: trained, or on a way the model to begin with as it is.
    fn first(&self, data: &Data) -> Result<First> {
        let model = &self.recipe.model;
        if self.recipe.budget.is_none() || model.start.is_none() || model.head.is_some() {
            let (outcome, preprocess) = self.train(data)?;
            let training = training_facts(&outcome, self.recipe.train.batch);
            let seconds = outcome.seconds;
            return Ok(First { graph: outcome.graph, preprocess, training, seconds });
        }
        let start = prepare(&self.job(data))?;
        say(self.global, &format!("model: {}, as it is", self.architecture()));
        let training =
            TrainingFacts { history: vec![], images_per_second: 0.0, stopped_early: false };
        Ok(First { graph: start.graph, preprocess: start.preprocess, training, seconds: 0.0 })
    }

    /// Goes the way to the budget, if there is one, and puts the best network in place.
    fn way(&self, data: &Data, preprocess: &Preprocess, first: &Path) -> Result<Option<Way>> {
        let Some(budget) = &self.recipe.budget else { return Ok(None) };
        let data_name = quote(&self.data_source());
        let task = Task {
            global: self.global,
            recipe: &self.recipe,
            budget,
            data,
            data_name: &data_name,
            preprocess,
            pool: &self.pool,
            first,
            folder: self.out.join("work").join("way"),
            restart: self.args.restart,
        };
        let (way, best) = task.go()?;
        for (from, to) in best.iter().zip([SMALL, INT8]) {
            let bytes = std::fs::read(from).map_err(|e| Failure::io(from, &e))?;
            files::write(&self.out.join(to), &bytes)?;
        }
        Ok(Some(way))
    }

    fn checks(
        &self,
        way: Option<&Way>,
        [float, int8]: [&Variant; 2],
        agreement: Share,
    ) -> Vec<Check> {
        let mut checks = way.map_or(vec![], |way| report::way::checks(way, float, int8));
        checks.extend(collect::checks(&self.recipe.target, float, int8, agreement));
        checks
    }

    fn job<'a>(&'a self, data: &'a Data) -> Job<'a> {
        Job {
            data,
            model: &self.recipe.model,
            preprocessing: None,
            settings: &self.recipe.train,
            checkpoint: self.out.join("work"),
            every: CHECKPOINT_EVERY,
            restart: self.args.restart,
        }
    }

    fn train(&self, data: &Data) -> Result<(TrainOutcome, Preprocess)> {
        let job = self.job(data);
        let start = prepare(&job)?;
        let size = cost(&start.graph, 1)?;
        let (params, macs) =
            (crate::term::short_count(size.parameters), crate::term::short_count(size.macs));
        say(
            self.global,
            &format!("model: {}, {params} parameters, {macs} multiply-adds", self.architecture()),
        );
        let outcome = train(self.global, &job, &start, None)?;
        Ok((outcome, start.preprocess))
    }

    fn quantize(
        &self,
        graph: &Graph,
        data: &Data,
        preprocess: &Preprocess,
        path: &Path,
    ) -> Result<()> {
        say(self.global, "quantising");
        let pictures = Pictures { set: &data.train, preprocess, settings: &self.recipe.quantize };
        let found = to_int8(self.global, graph, &pictures, Limits::default(), &self.pool)?;
        if found.stopped && interrupt::asked() {
            return Err(Failure::not_met("interrupted while quantising")
                .hint("the same command goes on where it was"));
        }
        for line in &remarks(&found) {
            detail(self.global, line);
        }
        model::save(&found.quantized.graph, path)
    }

    /// Both models in turn, one picture at a time.
    fn time(&self, models: &[Model; 2]) -> Result<[Measured; 2]> {
        let mut float = Subject::new(&models[0].graph, 1, &self.pool)?;
        let mut int8 = Subject::new(&models[1].graph, 1, &self.pool)?;
        let trial = in_turn(self.global, &mut [&mut float, &mut int8], 5, 10)?;
        let round: f64 = trial.iter().map(|t| t.median_ms).sum();
        let runs = ((TIMING_MS / round.max(1e-3)) as usize).clamp(RUNS.0, RUNS.1);
        let times = in_turn(self.global, &mut [&mut float, &mut int8], runs / 10, runs)?;
        let threads = self.pool.threads();
        let measure = |subject: &mut Subject, latency: &Times| -> Result<Measured> {
            Ok(Measured {
                latency: latency.clone(),
                operators: subject.profile(PROFILED.min(runs))?,
                arena_bytes: subject.activation_bytes(threads),
                weight_bytes: subject.weight_bytes(),
            })
        };
        Ok([measure(&mut float, &times[0])?, measure(&mut int8, &times[1])?])
    }

    fn name(&self) -> String {
        let stem = || self.args.recipe.file_stem().map(|s| s.to_string_lossy().into_owned());
        self.recipe.out.name.clone().or_else(stem).unwrap_or_else(|| "deployment".into())
    }

    fn architecture(&self) -> String {
        let m = &self.recipe.model;
        match &m.start {
            Some(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            None if m.width == 1.0 => m.arch.clone(),
            None => format!("{} x{}", m.arch, m.width),
        }
    }

    fn model_facts(&self, graph: &Graph, preprocess: &Preprocess) -> Result<ModelFacts> {
        let size = cost(graph, 1)?;
        let [h, w, c] = preprocess.shape();
        Ok(ModelFacts {
            name: self.architecture(),
            input: vec![1, c, h, w],
            params: size.parameters,
            macs: size.macs,
        })
    }

    fn commands(&self) -> Vec<String> {
        let (recipe, out) = (quote(&self.args.recipe), quote(&self.out));
        let threads = self.global.threads.map_or(String::new(), |n| format!(" --threads {n}"));
        let (float, int8) = (quote(&self.out.join(FLOAT)), quote(&self.out.join(INT8)));
        let data = quote(&self.data_source());
        vec![
            format!("edgecut deploy {recipe} --out {out}{threads}"),
            format!("edgecut eval {int8} --data {data} --against {float}{threads}"),
            format!("edgecut bench {int8} --against {float}{threads}"),
        ]
    }

    /// The data as the command line names it, from the working directory.
    fn data_source(&self) -> PathBuf {
        let source = PathBuf::from(&self.recipe.data.source);
        let beside = self.args.recipe.parent().unwrap_or(Path::new("")).join(&source);
        if beside.exists() { beside } else { source }
    }

    fn show(&self, report: &Report) {
        if let Some(way) = &report.way {
            files::print(&report::way::summary(way));
        }
        files::print(&collect::summary(report));
        if let Some(note) = &report.data.note {
            files::print(note);
        }
        let small = report.way.as_ref().map(|_| SMALL);
        for name in [FLOAT].into_iter().chain(small).chain([INT8, "report.html", "report.json"]) {
            files::print(&self.out.join(name).display().to_string());
        }
    }
}

/// The float network, and how it came about.
struct First {
    graph: Graph,
    preprocess: Preprocess,
    training: TrainingFacts,
    seconds: f64,
}

fn stage(stages: &mut Vec<Stage>, name: &str, seconds: f64) {
    stages.push(Stage { name: name.into(), seconds });
}

fn data_facts(data: &Data) -> DataFacts {
    DataFacts {
        name: data.name.clone(),
        note: data.note.clone(),
        train: data.train.len(),
        test: data.test.len(),
        classes: data.train.classes().to_vec(),
    }
}

fn training_facts(outcome: &TrainOutcome, batch: usize) -> TrainingFacts {
    // A run that only took up a finished training has no pace of its own.
    let overall = outcome.steps as f64 * batch as f64 / outcome.seconds.max(1e-9);
    let pace = outcome.images_per_second;
    let epoch = |e: &edgecut_train::EpochStats| Epoch {
        epoch: e.epoch,
        train_loss: e.train_loss,
        train_accuracy: 100.0 * e.train_accuracy,
        test_loss: e.val_loss.unwrap_or(0.0),
        test_accuracy: 100.0 * e.val_accuracy.unwrap_or(0.0),
    };
    TrainingFacts {
        history: outcome.history.iter().map(epoch).collect(),
        images_per_second: if pace > 0.0 { pace } else { overall },
        stopped_early: outcome.ending == Ending::OutOfTime,
    }
}
