//! One combination of methods, and how a graph is quantised by it.

use std::sync::Arc;

use edgecut_graph::Graph;
use edgecut_kernels::Pool;
use serde::{Deserialize, Serialize};

use crate::bias::correct;
use crate::calibrate::calibrate_prepared;
use crate::equalise::equalise;
use crate::images::{Images, Part};
use crate::layers::with_biases;
use crate::probe::Probe;
use crate::scheme::{Learning, Scheme};
use crate::{
    BiasCorrection, Bits, Calibration, Control, QuantizeConfig, Quantized, RangeMethod, Result,
    WeightRange, learn, prepare,
};

/// How weights are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest code.
    #[default]
    Nearest,
    /// So that each layer's result on calibration images is nearest to the float one.
    Learned,
}

/// A combination of methods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recipe {
    /// What becomes integers, with which ranges.
    pub config: QuantizeConfig,
    /// Whether channels are brought to one size first.
    pub equalise: bool,
    /// How biases are corrected.
    pub bias: BiasCorrection,
    /// How weights are rounded.
    pub rounding: Rounding,
}

impl Recipe {
    /// In a few words, such as "mse, equalised, full bias correction".
    pub fn describe(&self) -> String {
        let config = &self.config;
        let mut words = vec![match config.method {
            RangeMethod::MinMax => "min-max".into(),
            RangeMethod::Percentile(p) => format!("percentile {p}"),
            RangeMethod::Mse => "mse".into(),
            RangeMethod::Entropy => "entropy".into(),
        }];
        let mut add = |holds: bool, word: &str| {
            if holds {
                words.push(word.into());
            }
        };
        add(!config.methods.is_empty(), "ranges of single values");
        add(config.bits == Bits::Four, "4-bit weights");
        add(config.bits == Bits::Eight && !config.int4.is_empty(), "some 4-bit weights");
        add(config.weights == WeightRange::Mse, "saturating weights");
        add(self.equalise, "equalised");
        add(self.bias == BiasCorrection::Fast, "fast bias correction");
        add(self.bias == BiasCorrection::Full, "full bias correction");
        add(self.rounding == Rounding::Learned, "learned rounding");
        words.join(", ")
    }
}

/// Images that bias correction looks at: means settle with fewer than ranges do.
const CORRECTION_IMAGES: usize = 64;
/// Images that rounding is learned from: it must not fit a few of them.
const LEARNING_IMAGES: usize = 256;

/// A graph and its calibration.
pub(crate) struct Stage {
    pub graph: Graph,
    pub calibration: Calibration,
}

/// A graph with everything that recipes share: calibrations are made once.
pub(crate) struct Workshop<'a> {
    images: &'a dyn Images,
    pool: &'a Arc<Pool>,
    plain: Stage,
    /// `None` until asked for; then `None` again where nothing can be equalised.
    equalised: Option<Option<Stage>>,
}

/// A quantised graph with what it was built from.
#[derive(Clone)]
pub(crate) struct Built {
    pub quantized: Quantized,
    /// The float graph with corrected biases.
    pub float: Graph,
    pub learning: Learning,
}

impl<'a> Workshop<'a> {
    /// Calibrates `graph`.
    pub fn open(
        graph: &Graph,
        images: &'a dyn Images,
        pool: &'a Arc<Pool>,
        control: &Control,
    ) -> Result<Workshop<'a>> {
        let graph = with_biases(&prepare(graph)?)?;
        let calibration = calibrate_prepared(&graph, images, pool, control)?;
        Ok(Workshop { images, pool, plain: Stage { graph, calibration }, equalised: None })
    }

    /// The float graph in the form that is quantised.
    pub fn float(&self) -> &Graph {
        &self.plain.graph
    }

    /// Whether equalisation changes anything.
    pub fn equalises(&mut self, control: &Control) -> Result<bool> {
        if self.equalised.is_none() {
            let stage = match equalise(&self.plain.graph, &self.plain.calibration)? {
                Some(graph) => {
                    let calibration = calibrate_prepared(&graph, self.images, self.pool, control)?;
                    Some(Stage { graph, calibration })
                }
                None => None,
            };
            self.equalised = Some(stage);
        }
        Ok(self.equalised.as_ref().is_some_and(|stage| stage.is_some()))
    }

    /// The graph and calibration that `recipe` begins with.
    pub fn stage(&mut self, recipe: &Recipe, control: &Control) -> Result<&Stage> {
        let equalised = recipe.equalise && self.equalises(control)?;
        let stage = self.equalised.as_ref().and_then(|stage| stage.as_ref());
        Ok(stage.filter(|_| equalised).unwrap_or(&self.plain))
    }

    /// Quantises by `recipe`.
    pub fn build(&mut self, recipe: &Recipe, control: &Control) -> Result<Built> {
        recipe.config.check()?;
        let (images, pool) = (self.images, self.pool);
        let stage = self.stage(recipe, control)?;
        let part = Part::spread(images, CORRECTION_IMAGES);
        let probe = Probe { images: &part, pool, control };
        let mut learning = Learning::new();
        let mut float = stage.graph.clone();
        if recipe.rounding == Rounding::Learned {
            let scheme = Scheme::new(&float, &stage.calibration, &recipe.config)?;
            let part = Part::spread(images, LEARNING_IMAGES);
            let outcome = learn::learn(&scheme, Probe { images: &part, ..probe })?;
            (learning, float) = (outcome.learning, outcome.float);
        }
        if recipe.bias != BiasCorrection::None {
            let scheme = Scheme::new(&float, &stage.calibration, &recipe.config)?;
            float = correct(&scheme, &learning, &stage.graph, recipe.bias, probe)?;
        }
        let scheme = Scheme::new(&float, &stage.calibration, &recipe.config)?;
        let quantized = scheme.build(&learning)?;
        Ok(Built { quantized, float, learning })
    }
}
