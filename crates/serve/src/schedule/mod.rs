//! Which request runs next, and which is refused at once.
//!
//! Requests wait in a lane for each model. A batch is as many as wait, up to the model's largest;
//! it runs when it is full or when its first has waited for as long as a batch may be waited for.
//! Lanes take turns by priority, then by who came first.
//!
//! Goodput under overload comes from never beginning what is in vain: a request whose time is over,
//! or whose client has gone, is left out, and one that would have to wait longer than it may, by the
//! times that the model takes, is refused when it comes.

mod estimate;
mod queue;
mod workers;

pub use estimate::Estimate;
pub use queue::{Entry, LaneLimits, Next, PRIORITIES, Queue, Refused};
pub use workers::{Scheduler, Task};
