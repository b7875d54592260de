//! The way from a float network to one that a device can afford: pruned, taught and quantised in
//! measured steps.
//!
//! | file | concern |
//! | --- | --- |
//! | `costs` | what a network costs, and what it may cost |
//! | `device` | where costs come from: this machine, another one, a profile |
//! | `estimate` | what a float network will cost as integers |
//! | `candidate` | a network that was tried |
//! | `policy` | what to try next, what is best: functions of what was tried |
//! | `workshop`, `commands` | making it, and how a person would |
//! | `journal` | what was tried, on disk |

mod candidate;
mod commands;
mod costs;
mod device;
mod estimate;
mod journal;
mod policy;
mod workshop;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use edgecut_kernels::Pool;
use edgecut_train::data::{Data, Preprocess};
use serde::{Deserialize, Serialize};

use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files;
use crate::progress::say;
use crate::recipe::Recipe;
use crate::settings::{BudgetSettings, Correction, Method};
use crate::work::model::Model;
use crate::work::time::Subject;

pub use candidate::{Action, Candidate};
pub use costs::{Bounds, Cost, Costs};
use device::Device;
use journal::{Beginning, Journal};
use policy::{Next, Rules, Tried};
use workshop::{FLOAT, First, INT8, Workshop};

/// What a way begins with.
pub struct Task<'a> {
    pub global: &'a Global,
    pub recipe: &'a Recipe,
    pub budget: &'a BudgetSettings,
    /// Its test part decides; final figures need pictures of their own.
    pub data: &'a Data,
    /// The data as the command line names it.
    pub data_name: &'a str,
    pub preprocess: &'a Preprocess,
    pub pool: &'a Arc<Pool>,
    /// The float network.
    pub first: &'a Path,
    /// Where everything lies.
    pub folder: PathBuf,
    pub restart: bool,
}

/// Where it led.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Way {
    /// The device.
    pub device: String,
    /// Whether that is this machine.
    pub here: bool,
    /// How each bounded cost is known: measured, predicted or modelled.
    pub known: Vec<String>,
    /// What a network may cost.
    pub bounds: Bounds,
    /// Points of top-1 that may be lost.
    pub max_drop: f64,
    /// What the float network costs.
    pub float: Costs,
    /// Pictures that decided.
    pub pictures: usize,
    /// Every network that was tried, in order.
    pub tried: Vec<Candidate>,
    /// Those that no other one beats.
    pub front: Vec<usize>,
    /// The one that was taken.
    pub best: usize,
    /// Why no other one was tried.
    pub ended: String,
}

impl Task<'_> {
    /// Goes the way, or on along it. Returns it, and the float and the quantised file of the best
    /// network.
    pub fn go(&self) -> Result<(Way, [PathBuf; 2])> {
        let amounts = self
            .budget
            .amounts()
            .map_err(|w| Failure::input(format!("[budget] {} {}", w.field, w.problem)))?;
        files::make_folder(&self.folder)?;
        let kept = self.folder.join("device.json");
        let device = self.budget.device.as_deref();
        let device = Device::open(device, (&amounts, &kept), self.global, self.pool)?;
        let recipe = self.plain_recipe();
        let shop = Workshop {
            global: self.global,
            recipe: &recipe,
            data: self.data,
            preprocess: self.preprocess,
            pool: self.pool,
            folder: self.folder.clone(),
            first: self.first,
            device: &device,
            data_name: self.data_name,
        };
        let (mut first, mut journal) = self.begin(&shop)?;
        let bounds = Bounds::new(&amounts, &journal.beginning.float);
        let ended = self.steps(&shop, &bounds, &mut first, &mut journal)?;
        let tried = Tried::new(&journal.tried, &bounds, self.rules());
        let best = tried.best().ok_or_else(|| Failure::input("no network was tried"))?;
        let known = |(cost, _): &(Cost, f64)| device.known(*cost).to_string();
        let way = Way {
            device: device.name.clone(),
            here: device.is_here(),
            known: bounds.at_most.iter().map(known).collect(),
            max_drop: self.budget.max_drop,
            float: journal.beginning.float,
            pictures: self.data.test.len(),
            front: tried.front(),
            best,
            ended,
            tried: journal.tried.clone(),
            bounds,
        };
        let place = shop.place(best);
        Ok((way, [place.join(FLOAT), place.join(INT8)]))
    }

    /// The recipe as each step takes it. The best of many quantisations takes minutes, and depends on
    /// how fast they go, so a step uses the one that wins most often.
    fn plain_recipe(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        if recipe.quantize.method == Method::Auto {
            recipe.quantize.method = Method::Mse;
            recipe.quantize.bias_correction = Correction::Fast;
        }
        recipe
    }

    fn rules(&self) -> Rules {
        Rules { max_drop: self.budget.max_drop, epochs: self.budget.epochs }
    }

    /// The float network, measured, and the journal.
    fn begin(&self, shop: &Workshop) -> Result<(First, Journal)> {
        let graph = Model::load(self.first)?.graph;
        let (sha256, size) = files::digest(self.first)?;
        let mut subject = Subject::new(&graph, 1, self.pool)?;
        let (costs, _) = shop.costs((self.first, &graph, size), &mut subject, None)?;
        let beginning =
            Beginning::new(self.fingerprint()?, sha256, shop.device.name.clone(), costs);
        let path = self.folder.join("journal.jsonl");
        let journal = Journal::open(&path, beginning, self.restart)?;
        Ok((First { graph, subject, costs: journal.beginning.float }, journal))
    }

    /// SHA-256 of what of the recipe decides.
    fn fingerprint(&self) -> Result<String> {
        let mut recipe = self.recipe.clone();
        recipe.out = Default::default();
        recipe.target = Default::default();
        recipe.budget = Some(BudgetSettings { minutes: 1.0, ..self.budget.clone() });
        let text = serde_json::to_string(&recipe).map_err(|e| Failure::input(e.to_string()))?;
        Ok(files::sha256(text.as_bytes()))
    }

    /// Tries one network after the other; says why it stopped.
    fn steps(
        &self,
        shop: &Workshop,
        bounds: &Bounds,
        first: &mut First,
        journal: &mut Journal,
    ) -> Result<String> {
        let before: f64 = journal.tried.iter().map(|c| c.seconds).sum();
        let began = Instant::now();
        for (at, candidate) in journal.tried.iter().enumerate() {
            self.say_tried(at, candidate, journal.tried.first(), bounds);
        }
        loop {
            let next = match journal.tried.is_empty() {
                true => Next {
                    parent: 0,
                    action: Action::Start,
                    why: "what integers alone bring".into(),
                },
                false => match Tried::new(&journal.tried, bounds, self.rules()).next() {
                    Some(next) => next,
                    None => return Ok("nothing was left to try".into()),
                },
            };
            let minutes = (before + began.elapsed().as_secs_f64()) / 60.0;
            if minutes >= self.budget.minutes && !journal.tried.is_empty() {
                return Ok(format!("the {} minutes were over", self.budget.minutes));
            }
            let id = journal.tried.len();
            say(self.global, &format!("step {id}: {} ({})", next.action.text(), next.why));
            let place = shop.place(id);
            if journal.tried.is_empty() && self.restart && place.exists() {
                self.clear(shop)?;
            }
            let parent = journal.tried.get(next.parent).cloned();
            let candidate = shop.make((id, &next), parent.as_ref(), bounds, first)?;
            self.say_tried(id, &candidate, journal.tried.first(), bounds);
            journal.add(candidate)?;
        }
    }

    /// Removes what an earlier way left.
    fn clear(&self, shop: &Workshop) -> Result<()> {
        for id in 0.. {
            let place = shop.place(id);
            if !place.exists() {
                return Ok(());
            }
            std::fs::remove_dir_all(&place).map_err(|e| Failure::io(&place, &e))?;
        }
        Ok(())
    }

    fn say_tried(&self, id: usize, own: &Candidate, first: Option<&Candidate>, bounds: &Bounds) {
        let float = first.unwrap_or(own).float_accuracy;
        let costs = bounds.at_most.iter().map(|&(cost, at_most)| {
            let value = own.costs.of(cost);
            format!("{} {} of {}", cost.name(), cost.text(value), cost.text(at_most))
        });
        let costs = costs.collect::<Vec<String>>().join(", ");
        let lost = own.accuracy - float;
        say(self.global, &format!("  {id}: {:.2} % ({lost:+.2}), {costs}", own.accuracy));
    }
}
