//! What the limits leave of the space, before anything is trained.

use edgecut_search::arch::ArchSpace;
use edgecut_search::{Cost, Costs, Genome};

use super::device::DeviceCosts;
use super::found::{DeviceFacts, Found, Range};
use super::{Stage, at_side};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::progress::say;
use crate::term;

/// Says what the space costs, and takes out of it what no network within the limits has.
///
/// # Errors
/// Where even the smallest network is too much.
pub fn apply(stage: &mut Stage, costs: &DeviceCosts, found: &mut Found) -> Result<()> {
    let global = stage.task.global;
    if let Some(facts) = &found.device {
        tell(global, facts);
        check(stage, costs, facts)?;
    }
    if costs.names().iter().any(|cost| cost.limit.is_some()) {
        shrink(stage, costs, found)?;
    }
    Ok(())
}

fn tell(global: &Global, facts: &DeviceFacts) {
    let (measured, interval) = (facts.measured, 100.0 * facts.interval);
    say(
        global,
        &format!("device: {measured} networks measured, predictions within {interval:.0} %"),
    );
    for range in &facts.ranges {
        let limit = range.limit.map_or(String::new(), |l| format!(", limit {}", range.text(l)));
        let (name, least, most) =
            (range.kind.name(), range.text(range.least), range.text(range.most));
        say(global, &format!("  {name}: {least} to {most}{limit}"));
    }
    if facts.ranges.iter().any(|range| range.limit.is_some()) {
        let share = 100.0 * facts.within;
        say(global, &format!("  {share:.0} % of the space is within the limits"));
    }
}

fn check(stage: &Stage, costs: &DeviceCosts, facts: &DeviceFacts) -> Result<()> {
    if facts.within > 0.0 {
        return Ok(());
    }
    let least = costs.of(&stage.space.least()?).map_err(Failure::input)?;
    let over = |(range, least): (&Range, &f64)| {
        let limit = range.limit.filter(|limit| least > limit)?;
        let (name, least) = (range.kind.name(), range.text(*least));
        Some(format!("{name} of the smallest is {least}, the limit {}", range.text(limit)))
    };
    match facts.ranges.iter().zip(&least).find_map(over) {
        Some(problem) => Err(beyond(&problem)),
        None => Ok(()),
    }
}

fn shrink(stage: &mut Stage, costs: &DeviceCosts, found: &mut Found) -> Result<()> {
    let space = &stage.space;
    let within = |(value, cost): (&f64, &Cost)| cost.allows(*value);
    let fits = &mut |genome: &Genome| {
        let network = space.network(genome, 0).map_err(|e| e.to_string());
        let known = network.and_then(|network| costs.of(&network));
        known.is_ok_and(|known| known.iter().zip(costs.names()).all(within))
    };
    let shrunk = space.shrunk(fits)?;
    if shrunk.dropped.is_empty() {
        return Ok(());
    }
    let classes = stage.task.data.train.classes().len();
    stage.space = ArchSpace::new(shrunk.file, stage.input, classes)?;
    stage.preprocess = at_side(&stage.preprocess, stage.space.side());
    found.searched(stage, shrunk.dropped)?;
    let (size, gone) = (term::short_number(&found.space_size), found.dropped.join(", "));
    let global = stage.task.global;
    say(global, &format!("  {size} networks are left without what never fits: {gone}"));
    Ok(())
}

/// A limit that no network keeps.
pub fn beyond(what: &str) -> Failure {
    Failure::not_met(format!("no network of the space is within the limits: {what}"))
        .hint("allow more, or search a space with smaller networks")
}
