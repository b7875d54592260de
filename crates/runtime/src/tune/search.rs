//! Which chains of a run of layers are tried, and which of them together save most.

use std::ops::Range;

use edgecut_kernels::Isa;

use super::measure::Measure;
use crate::Result;
use crate::fuse::{Part, Run};

/// Longest chain that is tried: two inverted residuals with what lies between them. Longer ones
/// have rings that leave the first caches.
const LONGEST: usize = 8;

/// What an alternative must save to replace another: 3 %, more than two measurements of the same
/// code differ by, so that the answer is the same tomorrow.
const MARGIN: u64 = 33;

/// Whether `time` is clearly less than `other`.
pub(super) fn clearly(time: u64, other: u64) -> bool {
    time + other / MARGIN < other
}

/// What a chain saves against its layers run one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Saving {
    pub part: Part,
    pub ns: u64,
}

/// The fastest chain of all steps of `run`; `None` where they make none, or it is not clearly
/// faster.
pub(super) fn saving(run: &Run, isa: Isa, measure: &mut dyn Measure) -> Result<Option<Saving>> {
    let Some(usual) = run.part_by_rule() else { return Ok(None) };
    let rows = [usual.rows, usual.rows * 2, usual.rows * 4, usual.rows.div_ceil(2)];
    let alone = vec![Part::ALONE; run.steps.len()];
    let mut splits = vec![alone];
    for (i, &rows) in rows.iter().enumerate() {
        if !splits[1..].iter().any(|s| s[0].rows == rows) && (i == 0 || rows <= run.rows()) {
            splits.push(vec![Part { rows, ..usual }]);
        }
    }
    let choices: Vec<&[Part]> = splits.iter().map(Vec::as_slice).collect();
    let times = measure.times(run, isa, &choices)?;
    let best = (1..times.len()).min_by_key(|&i| times[i]).expect("there is the usual one");
    let is_faster = clearly(times[best], times[0]);
    Ok(is_faster.then(|| Saving { part: splits[best][0], ns: times[0] - times[best] }))
}

/// The chains of `steps` steps that save most together. `save` says what one saves, `progress`
/// hears how many steps are done.
pub(super) fn search(
    steps: usize,
    save: &mut dyn FnMut(Range<usize>) -> Result<Option<Saving>>,
    progress: &dyn Fn(usize),
) -> Result<Vec<Part>> {
    // From each step on: what is saved from here to the end, and the first part of it.
    let mut best = vec![(0, Part::ALONE); steps + 1];
    for first in (0..steps).rev() {
        best[first] = (best[first + 1].0, Part::ALONE);
        for end in first + 2..=steps.min(first + LONGEST) {
            if let Some(saving) = save(first..end)? {
                let total = saving.ns + best[end].0;
                if total > best[first].0 {
                    best[first] = (total, saving.part);
                }
            }
        }
        progress(steps - first);
    }
    let mut parts = vec![];
    let mut at = 0;
    while at < steps {
        parts.push(best[at].1);
        at += best[at].1.steps;
    }
    Ok(parts)
}

/// Steps that two splits divide in different ways.
#[derive(Debug, PartialEq)]
pub(super) struct Region {
    pub range: Range<usize>,
    pub rule: Vec<Part>,
    pub tuned: Vec<Part>,
}

/// Where two splits of the same steps differ: the smallest ranges that both have borders around.
pub(super) fn regions(rule: &[Part], tuned: &[Part]) -> Vec<Region> {
    let mut regions = vec![];
    let (mut rule, mut tuned) = (rule.iter().copied(), tuned.iter().copied());
    let mut start = 0;
    while let (Some(a), Some(b)) = (rule.next(), tuned.next()) {
        let mut region = Region { range: start..start, rule: vec![a], tuned: vec![b] };
        let mut ends = [start + a.steps, start + b.steps];
        while ends[0] != ends[1] {
            let behind = usize::from(ends[1] < ends[0]);
            let (parts, to) = match behind {
                0 => (&mut rule, &mut region.rule),
                _ => (&mut tuned, &mut region.tuned),
            };
            let Some(part) = parts.next() else { return regions };
            ends[behind] += part.steps;
            to.push(part);
        }
        start = ends[0];
        region.range.end = start;
        if region.rule != region.tuned {
            regions.push(region);
        }
    }
    regions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(steps: usize, rows: usize) -> Part {
        Part { steps, rows }
    }

    #[test]
    fn the_chains_that_save_most_together() {
        // 0..3 saves most alone, but 0..2 and 2..4 save more together.
        let known = [(0..3, 10), (0..2, 6), (2..4, 7), (3..5, 1)];
        let mut save = |range: Range<usize>| {
            let found = known.iter().find(|(known, _)| *known == range);
            Ok(found.map(|(range, ns)| Saving { part: part(range.len(), 2), ns: *ns }))
        };
        let parts = search(6, &mut save, &|_| ()).unwrap();
        assert_eq!(parts, [part(2, 2), part(2, 2), Part::ALONE, Part::ALONE]);
    }

    #[test]
    fn regions_are_the_least_that_both_have_borders_around() {
        let one = Part::ALONE;
        let rule = [one, part(3, 2), one, part(2, 4)];
        let tuned = [one, part(2, 2), part(2, 2), part(2, 8)];
        let found = regions(&rule, &tuned);
        assert_eq!(found.len(), 2);
        assert_eq!((&found[0].range, &found[1].range), (&(1..5), &(5..7)));
        assert_eq!((&found[0].rule[..], &found[0].tuned[..]), (&rule[1..3], &tuned[1..3]));
        assert_eq!(regions(&rule, &rule), []);
    }

    #[test]
    fn only_a_clear_winner_wins() {
        assert!(clearly(96, 100) && !clearly(98, 100) && !clearly(100, 100) && !clearly(0, 0));
    }
}
