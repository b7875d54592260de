//! The network as an icicle: one row for each level of the steps' names, widths are times.

use super::Step;

/// A box of the drawing: a step, or neighbours whose names begin alike.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The segment of the names that this box adds.
    pub label: String,
    /// The steps that it covers.
    pub steps: std::ops::Range<usize>,
    /// Row, from 0.
    pub depth: usize,
    /// Whether it is a step itself.
    pub leaf: bool,
}

/// Most levels; longer names keep the rest in the last.
const MAX_DEPTH: usize = 8;

/// The boxes, rows from above, each from left to right. Order of execution is kept: what begins
/// alike shares a box only where nothing else lies between.
pub fn spans(steps: &[Step]) -> Vec<Span> {
    let names: Vec<Vec<String>> = steps.iter().map(|s| segments(&s.name)).collect();
    let mut spans = vec![];
    let everything = 0..steps.len();
    let mut row = vec![everything];
    for depth in 0..MAX_DEPTH {
        let mut next = vec![];
        for group in row {
            let mut start = group.start;
            while start < group.end {
                let Some(label) = names[start].get(depth) else {
                    start += 1;
                    continue;
                };
                let last = names[start].len() == depth + 1;
                // Steps that end here stay apart, even where two have the same name.
                let alike = |i: &usize| {
                    !last && names[*i].len() > depth + 1 && names[*i].get(depth) == Some(label)
                };
                let end = (start + 1..group.end).find(|i| !alike(i)).unwrap_or(group.end);
                spans.push(Span { label: label.clone(), steps: start..end, depth, leaf: last });
                if !last {
                    next.push(start..end);
                }
                start = end;
            }
        }
        row = next;
    }
    spans
}

/// `features.3.conv/Conv` is `features`, `3`, `conv`, `Conv`. A chain, `a.0.x .. a.1.y`, stands
/// where both of its ends do: `a`, `0.x .. 1.y`.
fn segments(name: &str) -> Vec<String> {
    let Some((first, last)) = name.split_once(" .. ") else { return path(name) };
    let (first, last) = (path(first), path(last));
    let within = first.len().min(last.len()) - 1;
    let alike = first.iter().zip(&last).take(within).take_while(|(a, b)| a == b).count();
    let rest = format!("{} .. {}", first[alike..].join("."), last[alike..].join("."));
    first.into_iter().take(alike).chain([rest]).collect()
}

/// At least one part.
fn path(name: &str) -> Vec<String> {
    let mut parts = vec![];
    let mut rest = name.trim_matches(['/', '.']);
    while parts.len() + 1 < MAX_DEPTH
        && let Some((first, after)) = rest.split_once(['/', '.'])
    {
        if !first.is_empty() {
            parts.push(first.to_string());
        }
        rest = after;
    }
    parts.push(rest.to_string());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Bound;

    fn step(name: &str) -> Step {
        Step {
            name: name.into(),
            kind: "conv".into(),
            shape: vec![1],
            median_us: 1.0,
            share: 1.0,
            macs: 1,
            bytes: 1,
            weight_bytes: 0,
            intensity: 1.0,
            roof_us: 1.0,
            roofline: 100.0,
            bound: Bound::Compute,
        }
    }

    #[test]
    fn neighbours_that_begin_alike_share_a_box() {
        let steps = ["stem", "a.0.conv", "a.0.pool", "a.1.conv", "b", "a.0.conv", "b", "b"];
        let found = spans(&steps.map(step));
        let rows: Vec<(usize, &str, std::ops::Range<usize>)> =
            found.iter().map(|s| (s.depth, s.label.as_str(), s.steps.clone())).collect();
        let expected = [
            (0, "stem", 0..1),
            (0, "a", 1..4),
            (0, "b", 4..5),
            (0, "a", 5..6),
            (0, "b", 6..7),
            (0, "b", 7..8),
            (1, "0", 1..3),
            (1, "1", 3..4),
            (1, "0", 5..6),
            (2, "conv", 1..2),
            (2, "pool", 2..3),
            (2, "conv", 3..4),
            (2, "conv", 5..6),
        ];
        assert_eq!(rows, expected);
        assert_eq!(found.iter().filter(|s| s.leaf).count(), steps.len());
    }

    #[test]
    fn odd_names_have_segments_too() {
        assert_eq!(segments("/features/features.0/Conv"), ["features", "features", "0", "Conv"]);
        assert_eq!(segments(""), [""]);
        assert_eq!(segments("a.1.x.0 .. a.1.y"), ["a", "1", "x.0 .. y"]);
        assert_eq!(segments("stem .. a.0"), ["stem .. a.0"]);
        assert_eq!(segments("a.b.c.d.e.f.g.h.i.j").len(), MAX_DEPTH);
    }
}
