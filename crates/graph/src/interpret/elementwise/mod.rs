//! Functions of single elements, whose inputs broadcast.

mod binary;
mod broadcast;
mod cast;
mod test;
mod unary;

pub(super) use binary::binary;
pub(super) use broadcast::Broadcast;
pub(super) use cast::cast;
pub(super) use test::{choose, compare, is_inf, is_nan, logic, not};
pub(super) use unary::unary;
