//! Attributes of a node, taken one by one; what no mapping takes is refused.
//!
//! An attribute that edgecut does not know may change what the operator computes, so leaving it
//! unread is an error rather than a guess.

use super::proto::{AttributeProto, TensorProto, attribute_type as kind};

/// Attributes that have not been taken yet. Errors are what is wrong, without the node's name.
#[derive(Clone)]
pub(super) struct Attributes<'a> {
    rest: Vec<&'a AttributeProto>,
}

type Taken<T> = std::result::Result<T, String>;

impl<'a> Attributes<'a> {
    /// All attributes of a node. Fails where two have the same name.
    pub fn new(attributes: &'a [AttributeProto]) -> Taken<Attributes<'a>> {
        let mut rest: Vec<&AttributeProto> = attributes.iter().collect();
        rest.sort_by_key(|a| a.name());
        if let Some(pair) = rest.windows(2).find(|pair| pair[0].name() == pair[1].name()) {
            return Err(format!("attribute '{}' is given twice", pair[0].name()));
        }
        Ok(Attributes { rest })
    }

    /// Name of an attribute that nothing took.
    pub fn untaken(&self) -> Option<&'a str> {
        self.rest.first().map(|a| a.name())
    }

    /// Whether the node has this attribute.
    pub fn has(&self, name: &str) -> bool {
        self.rest.binary_search_by_key(&name, |a| a.name()).is_ok()
    }

    fn take(&mut self, name: &str, expected: i32) -> Taken<Option<&'a AttributeProto>> {
        let Ok(at) = self.rest.binary_search_by_key(&name, |a| a.name()) else {
            return Ok(None);
        };
        let attribute = self.rest.remove(at);
        match attribute.r#type() {
            found if found == expected || found == kind::UNDEFINED => Ok(Some(attribute)),
            found => Err(format!("attribute '{name}' has type {found}, needs {expected}")),
        }
    }

    /// An integer. Writers of proto3 leave out zeros, so an absent number is 0.
    pub fn int(&mut self, name: &str) -> Taken<Option<i64>> {
        Ok(self.take(name, kind::INT)?.map(|a| a.i()))
    }

    /// An integer used as yes or no.
    pub fn flag(&mut self, name: &str, default: bool) -> Taken<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(value @ (0 | 1)) => Ok(value == 1),
            Some(value) => Err(format!("attribute '{name}' is {value}, needs 0 or 1")),
        }
    }

    /// A number.
    pub fn float(&mut self, name: &str) -> Taken<Option<f32>> {
        Ok(self.take(name, kind::FLOAT)?.map(|a| a.f()))
    }

    /// Integers.
    pub fn ints(&mut self, name: &str) -> Taken<Option<&'a [i64]>> {
        Ok(self.take(name, kind::INTS)?.map(|a| a.ints.as_slice()))
    }

    /// Numbers.
    pub fn floats(&mut self, name: &str) -> Taken<Option<&'a [f32]>> {
        Ok(self.take(name, kind::FLOATS)?.map(|a| a.floats.as_slice()))
    }

    /// A string. Fails where it is not UTF-8.
    pub fn string(&mut self, name: &str) -> Taken<Option<&'a str>> {
        let Some(attribute) = self.take(name, kind::STRING)? else { return Ok(None) };
        match std::str::from_utf8(attribute.s.as_deref().unwrap_or_default()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(format!("attribute '{name}' is not UTF-8")),
        }
    }

    /// A tensor.
    pub fn tensor(&mut self, name: &str) -> Taken<Option<&'a TensorProto>> {
        match self.take(name, kind::TENSOR)? {
            None => Ok(None),
            Some(attribute) => match &attribute.t {
                Some(tensor) => Ok(Some(tensor)),
                None => Err(format!("attribute '{name}' has no tensor")),
            },
        }
    }
}
