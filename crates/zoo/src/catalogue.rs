//! Architectures by name, for recipes and the command line.

use edgecut_graph::Graph;

use crate::entries::ALL;
use crate::{Options, Settings, ZooError};

/// An entry of [`list`].
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Name for [`build`].
    pub name: &'static str,
    /// One line on what it is.
    pub summary: &'static str,
    /// Authors and year of the paper.
    pub paper: &'static str,
    /// The paper's number at arXiv.
    pub arxiv: &'static str,
    /// Channels, height and width of the paper's input.
    pub input: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    make: fn(&Settings) -> Result<Graph, ZooError>,
}

impl Architecture {
    /// The graph with fresh weights. Fails where an option is out of range.
    pub fn build(&self, options: &Options) -> Result<Graph, ZooError> {
        (self.make)(&Settings::new(self.name, self.input, self.classes).with(options))
    }
}

/// What the architectures of one paper have in common.
pub(crate) struct Family {
    pub summary: &'static str,
    pub paper: &'static str,
    pub arxiv: &'static str,
}

impl Family {
    /// A member called `name` for `task`: its input and number of classes.
    pub const fn named(
        &self,
        name: &'static str,
        task: ([usize; 3], usize),
        make: fn(&Settings) -> Result<Graph, ZooError>,
    ) -> Architecture {
        let (input, classes) = task;
        let Family { summary, paper, arxiv } = *self;
        Architecture { name, summary, paper, arxiv, input, classes, make }
    }
}

/// All architectures.
pub fn list() -> &'static [Architecture] {
    ALL
}

/// The architecture called `name`. Underscores and capitals are accepted. Fails, with the nearest
/// known name, where there is none.
pub fn find(name: &str) -> Result<&'static Architecture, ZooError> {
    let wanted = name.trim().to_lowercase().replace('_', "-");
    ALL.iter().find(|a| a.name == wanted).ok_or_else(|| unknown(name, &wanted))
}

/// Builds the architecture called `name` (see [`find`]). Fails where there is none, and where an
/// option is out of range.
pub fn build(name: &str, options: &Options) -> Result<Graph, ZooError> {
    find(name)?.build(options)
}

fn unknown(name: &str, wanted: &str) -> ZooError {
    let closest = ALL.iter().map(|a| (distance(a.name, wanted), a.name)).min();
    // A third of the letters wrong is still a misspelling; more is another word.
    let similar = closest.filter(|(d, name)| d * 3 <= name.len()).map(|(_, name)| name);
    let known = ALL.iter().map(|a| a.name).collect();
    // The name comes from outside: quote only its beginning.
    ZooError::UnknownName { name: name.chars().take(80).collect(), similar, known }
}

/// Letters to insert, delete or replace to get from `a` to `b` (Levenshtein), of which at most
/// the first 80 of `b` are looked at.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(80).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_forgiving_and_unknown_ones_explained() {
        assert!(build("MobileNet_V2_s28", &Options::default()).is_ok());
        let message = build("mobilnet-v2", &Options::default()).unwrap_err().to_string();
        assert!(message.contains("did you mean 'mobilenet-v2'?"), "{message}");
        let message = build("vgg16", &Options::default()).unwrap_err().to_string();
        assert!(
            !message.contains("did you mean") && message.contains("mobilenet-v2-s32"),
            "{message}"
        );
    }

    #[test]
    fn every_entry_builds_and_options_apply() {
        for architecture in list() {
            let options = Options {
                classes: Some(7),
                in_channels: Some(2),
                width: Some(0.5),
                ..Options::default()
            };
            let graph = build(architecture.name, &options).unwrap();
            assert_eq!(graph.value(graph.outputs[0]).shape.to_string(), "[batch, 7]");
            assert_eq!(graph.value(graph.inputs[0]).shape.extent(1, "input").unwrap(), 2);
        }
    }

    #[test]
    fn distance_is_levenshtein() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
