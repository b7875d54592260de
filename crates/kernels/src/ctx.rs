//! What every kernel needs to know besides its operands.

use crate::{Isa, Pool};

/// The instruction set to use and the threads to run on. Neither changes a bit of any result.
#[derive(Clone, Copy, Debug)]
pub struct Ctx<'a> {
    /// Instruction set.
    pub isa: Isa,
    /// Threads.
    pub pool: &'a Pool,
}

impl<'a> Ctx<'a> {
    /// The best instruction set of this machine on the threads of `pool`.
    pub fn new(pool: &'a Pool) -> Ctx<'a> {
        Ctx { isa: Isa::detect(), pool }
    }
}
