//! Shapes that a user gives for a model's inputs.

use crate::errors::{Failure, Result};

/// Options that fix the extents of inputs which a model leaves open.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Shapes {
    /// Shape of an input, for models that leave height or width open; repeat for each input
    #[arg(long = "shape", value_name = "[INPUT=]NxCxHxW")]
    shapes: Vec<String>,
}

impl Shapes {
    /// Whether none was given.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// The options apart, where inputs have several shapes each: the first of every input, the
    /// second of every input, and so on; one set without any where none was given.
    pub fn sets(&self) -> Vec<Shapes> {
        let mut sets = vec![Shapes::default()];
        let name = |option: &String| option.rsplit_once('=').map(|(name, _)| name.to_string());
        for (i, option) in self.shapes.iter().enumerate() {
            let before = self.shapes[..i].iter().filter(|o| name(o) == name(option)).count();
            sets.resize_with(sets.len().max(before + 1), Shapes::default);
            sets[before].shapes.push(option.clone());
        }
        sets
    }

    /// Input and extents; an option without a name is about the only input. `inputs` are the
    /// model's.
    pub fn resolve<'a>(&self, inputs: &[&'a str]) -> Result<Vec<(&'a str, Vec<usize>)>> {
        let mut resolved: Vec<(&str, Vec<usize>)> = vec![];
        for option in &self.shapes {
            let wrong = |problem: &str| Failure::input(format!("--shape {option}: {problem}"));
            let (name, text) = match option.rsplit_once('=') {
                Some((name, text)) => (Some(name), text),
                None => (None, option.as_str()),
            };
            let input = match name {
                Some(name) => inputs.iter().find(|i| **i == name).copied(),
                None if inputs.len() == 1 => inputs.first().copied(),
                None => None,
            };
            let known = || format!("the inputs are {}", inputs.join(", "));
            let input = input.ok_or_else(|| wrong("says no input of the model").hint(known()))?;
            let dims =
                extents(text).ok_or_else(|| wrong("expected extents such as 1x3x640x640"))?;
            if resolved.iter().any(|(name, _)| *name == input) {
                return Err(wrong("the input has a shape already"));
            }
            resolved.push((input, dims));
        }
        Ok(resolved)
    }
}

/// Extents such as `1x3x640x640`; none where one is no number above 0.
pub fn extents(text: &str) -> Option<Vec<usize>> {
    text.split('x').map(|d| d.parse().ok().filter(|&n| n > 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(options: &[&str]) -> Shapes {
        Shapes { shapes: options.iter().map(|o| o.to_string()).collect() }
    }

    #[test]
    fn shapes_find_their_input() {
        let one = shapes(&["1x3x32x48"]).resolve(&["x"]).unwrap();
        assert_eq!(one, [("x", vec![1, 3, 32, 48])]);
        let two = shapes(&["b=2", "a=1x1"]).resolve(&["a", "b"]).unwrap();
        assert_eq!(two, [("b", vec![2]), ("a", vec![1, 1])]);
        for wrong in ["c=1", "1x3", "a=0x1", "a=", "a=1xx2", "a=99999999999999999999"] {
            let failure = shapes(&[wrong]).resolve(&["a", "b"]).unwrap_err();
            assert!(failure.message.contains(wrong), "{failure}");
        }
        assert!(shapes(&["a=1", "a=2"]).resolve(&["a"]).is_err());
        let sets = shapes(&["a=1", "b=2", "a=3"]).sets();
        let sets: Vec<Vec<String>> = sets.into_iter().map(|s| s.shapes).collect();
        assert_eq!(sets, [vec!["a=1", "b=2"], vec!["a=3"]]);
        assert_eq!(shapes(&[]).sets().len(), 1);
    }
}
