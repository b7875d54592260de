//! Architectures by name, for recipes and the command line.

use edgecut_graph::Graph;

use crate::{MobileNetV2, ZooError};

/// What a caller may choose; `None` takes the architecture's own value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Width multiplier.
    pub width: Option<f32>,
    /// Height and width of the input in pixels.
    pub resolution: Option<usize>,
    /// Number of classes.
    pub classes: Option<usize>,
    /// Channels of the input.
    pub in_channels: Option<usize>,
    /// Seed of the weights.
    pub seed: u64,
}

/// An entry of [`list`].
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// Name for [`build`].
    pub name: &'static str,
    /// One line on what it is and for which images.
    pub summary: &'static str,
    make: fn(&Options) -> Result<Graph, ZooError>,
}

const ALL: &[Architecture] = &[
    Architecture {
        name: "mobilenet-v2",
        summary: "MobileNetV2 (Sandler et al. 2018), 3x224x224, 1000 classes",
        make: |options| MobileNetV2::imagenet().with(options).build(),
    },
    Architecture {
        name: "mobilenet-v2-s32",
        summary: "MobileNetV2 with early strides removed, 3x32x32, 10 classes",
        make: |options| MobileNetV2::small_image().with(options).build(),
    },
    Architecture {
        name: "mobilenet-v2-s28",
        summary: "compact MobileNetV2, 1x28x28, 10 classes, about 5 M multiply-adds",
        make: |options| MobileNetV2::tiny_image().with(options).build(),
    },
];

/// All architectures.
pub fn list() -> &'static [Architecture] {
    ALL
}

/// Builds the architecture called `name`. Underscores and capitals are accepted. Fails, with the
/// nearest known name, where there is none, and where an option is out of range.
pub fn build(name: &str, options: &Options) -> Result<Graph, ZooError> {
    let wanted = name.trim().to_lowercase().replace('_', "-");
    match ALL.iter().find(|a| a.name == wanted) {
        Some(architecture) => (architecture.make)(options),
        None => Err(unknown(name, &wanted)),
    }
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
