//! Channels for training that shrinks them ([`GroupLasso`]).

use edgecut_train::optim::{GroupLasso, Part};

use super::{Channels, Group, Role};

impl Channels {
    /// Group lasso of this strength on all channels: what makes, reads, scales and shifts one counts
    /// together. The names are those of [`Channels::graph`].
    pub fn group_lasso(&self, strength: f32) -> GroupLasso {
        let of = |group: &Group| -> Vec<Vec<Part>> {
            (0..group.channels.len()).map(|number| self.parts(group, number)).collect()
        };
        GroupLasso { strength, channels: self.groups.iter().flat_map(of).collect() }
    }

    fn parts(&self, group: &Group, number: usize) -> Vec<Part> {
        let members = group.members.iter().zip(&group.channels[number].indices);
        let counts = members.filter(|(member, _)| member.role != Role::Statistic);
        let part = |(member, indices): (&super::Member, &Vec<usize>)| {
            let value = self.graph.value(member.value);
            let (name, shape) = (value.name.clone(), value.shape.with_symbols(1));
            Part { name, shape, dim: member.dim, indices: indices.clone() }
        };
        counts.map(part).collect()
    }
}
