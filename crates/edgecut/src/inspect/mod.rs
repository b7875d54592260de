//! What `edgecut inspect` finds out about a model, and how it shows it.
//!
//! | file | holds |
//! | --- | --- |
//! | `summary` | the facts, as `--json` prints them |
//! | `text` | the facts in the terminal |
//! | `drawing`, `layout`, `picture` | the graph as boxes and edges, in layers, as SVG |
//! | `details` | what the page says about a box that is clicked |
//! | `memory` | live activations over time |
//! | `page` | one self-contained HTML file of all that |
//! | `diff` | what differs between two models |
//! | `packed` | what a packed model holds |
//! | `passes` | what each canonical rewrite does to the model |

mod details;
pub mod diff;
mod drawing;
mod layout;
mod memory;
pub mod packed;
mod page;
pub mod passes;
mod picture;
pub mod summary;
pub mod text;

pub use page::page;
