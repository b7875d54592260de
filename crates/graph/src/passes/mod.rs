//! Rewrites that keep the function a graph computes.
//!
//! Each pass returns how often it applied, and leaves a graph without unused nodes or values that
//! passes [`Graph::validate`]. Value ids change; the order and names of inputs and outputs do not.
//!
//! | pass | what it does | difference of the results |
//! | --- | --- | --- |
//! | [`remove_identities`] | drops nodes that return their input | none |
//! | [`fold_constants`] | computes what depends on constants alone | none |
//! | [`pad_into_conv`] | moves zero padding into the convolution | none |
//! | [`fold_batch_norm`] | moves BatchNorm into the layer before it | rounding of weights |

mod fold_batch_norm;
mod fold_constants;
mod pad_into_conv;
mod remove_identities;

pub use fold_batch_norm::fold_batch_norm;
pub use fold_constants::fold_constants;
pub use pad_into_conv::pad_into_conv;
pub use remove_identities::remove_identities;

use crate::{Graph, Result};

/// Removes the nodes at `gone`, ascending, and what nothing uses any more, and checks the graph.
fn tidy(graph: &mut Graph, gone: &[usize]) -> Result<()> {
    let mut index = 0;
    graph.nodes.retain(|_| {
        index += 1;
        gone.binary_search(&(index - 1)).is_err()
    });
    graph.remove_unused();
    graph.validate()
}
