//! How much to prune: until a measure of the network is small enough.

use edgecut_graph::Graph;

use super::{Bounds, Channels, Order, Plan};
use crate::{CompressError, Control, Result};

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
    /// Removes channels in `order` until `measure` of the graph is `at_most`, by bisection over
    /// their number: the measure should fall as channels go, but need not in every step.
    ///
    /// # Errors
    /// What `measure` returns, and where `control` says to stop.
    pub fn cut_to<E: From<CompressError>>(
        &self,
        order: &Order,
        bounds: &Bounds,
        at_most: f64,
        control: &Control,
        measure: &mut dyn FnMut(&Graph) -> Result<f64, E>,
    ) -> Result<Cut, E> {
        let mut cut = |count: usize| -> Result<Cut, E> {
            control.check()?;
            let plan = order.plan(self, count, bounds);
            let graph = self.apply(&plan).map_err(CompressError::from)?;
            let value = measure(&graph)?;
            (control.say)(&format!("{} channels of {}", plan.len(), order.len()));
            Ok(Cut { plan, graph, value, met: value <= at_most })
        };
        let (mut low, mut high) = (0, order.len());
        let mut best = cut(high)?;
        if !best.met {
            return Ok(best);
        }
        // Rounding makes plans of neighbouring counts equal, so single channels need no telling
        // apart where there are thousands.
        let fine = (order.len() / 4096).max(1);
        while high - low > fine {
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
