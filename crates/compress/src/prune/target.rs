//! How much to prune: until a measure of the network is small enough.

use edgecut_graph::Graph;

use super::{Bounds, Channels, Order, Plan};
use crate::{CompressError, Control, Result};

/// How small a measure should become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    /// The largest measure that will do.
    pub at_most: f64,
    /// A measure this far below it, as a share of it, is near enough: where it is measured with an
    /// error, a closer look would only find the error.
    pub slack: f64,
}

impl Aim {
    /// The least cut that will do, of a measure without errors.
    pub fn exactly(at_most: f64) -> Aim {
        Aim { at_most, slack: 0.0 }
    }

    fn near(&self, value: f64) -> bool {
        value <= self.at_most && value > self.at_most * (1.0 - self.slack)
    }
}

/// The smallest cut that meets a target.
#[derive(Clone, Debug)]
pub struct Cut {
    /// What goes.
    pub plan: Plan,
    /// The graph that is left.
    pub graph: Graph,
    /// Its measure.
    pub value: f64,
    /// Whether the target is met. Otherwise this is as much as the bounds allow.
    pub met: bool,
}

impl Channels {
    /// Removes channels in `order` until `measure` of the graph is as `aim` says, by bisection over
    /// their number: the measure should fall as channels go, but need not in every step.
    ///
    /// # Errors
    /// What `measure` returns, and where `control` says to stop.
    pub fn cut_to<E: From<CompressError>>(
        &self,
        order: &Order,
        bounds: &Bounds,
        aim: Aim,
        control: &Control,
        measure: &mut dyn FnMut(&Graph) -> Result<f64, E>,
    ) -> Result<Cut, E> {
        let mut cut = |count: usize| -> Result<Cut, E> {
            control.check()?;
            let plan = order.plan(self, count, bounds);
            let graph = self.apply(&plan).map_err(CompressError::from)?;
            let value = measure(&graph)?;
            (control.say)(&format!("{} channels of {}", plan.len(), order.len()));
            Ok(Cut { plan, graph, value, met: value <= aim.at_most })
        };
        let (mut low, mut high) = (0, order.len());
        let mut best = cut(high)?;
        if !best.met {
            return Ok(best);
        }
        // Rounding makes plans of neighbouring counts equal, so single channels need no telling
        // apart where there are thousands.
        let fine = (order.len() / 4096).max(1);
        while high - low > fine && !aim.near(best.value) {
            let middle = low + (high - low) / 2;
            let next = cut(middle)?;
            if next.met {
                high = middle;
                best = next;
            } else {
                low = middle;
            }
        }
        Ok(best)
    }
}
