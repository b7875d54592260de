//! Functions of one byte as tables of 256 results.

use serde::{Deserialize, Serialize};

use crate::plan::Slot;
use crate::step::Env;
use crate::step::check::{Check, Checked};
use edgecut_kernels::quant;
use std::sync::Arc;

/// `y = table[x]` for every byte.
#[derive(Serialize, Deserialize)]
pub(crate) struct Lookup {
    x: Slot,
    y: Slot,
    table: Table,
}

#[derive(Serialize, Deserialize)]
enum Table {
    Bytes(#[serde(with = "super::table")] Box<[u8; 256]>),
    Floats(#[serde(with = "super::table")] Arc<[f32; 256]>),
}

/// Elements that one task converts.
const CHUNK: usize = 16 * 1024;

impl Lookup {
    /// Bytes to bytes: activations and changes of scale.
    pub fn to_bytes(x: Slot, y: Slot, table: [u8; 256]) -> Lookup {
        Lookup { x, y, table: Table::Bytes(Box::new(table)) }
    }

    /// Bytes to float32: dequantisation.
    pub fn to_float(x: Slot, y: Slot, table: Arc<[f32; 256]>) -> Lookup {
        Lookup { x, y, table: Table::Floats(table) }
    }

    pub fn bytes(&self) -> usize {
        match self.table {
            Table::Bytes(_) => 256,
            Table::Floats(_) => 1024,
        }
    }

    pub fn check(&self, c: &mut Check) -> Checked {
        match self.table {
            Table::Bytes(_) => c.map::<u8>(self.x, self.y).map(drop),
            Table::Floats(_) => {
                let len = c.len::<u8>(self.x)?;
                c.read::<u8>(self.x, len)?;
                c.write::<f32>(self.y, len)
            }
        }
    }

    pub fn run(&self, env: &mut Env) {
        match &self.table {
            Table::Bytes(table) if env.same(self.x, self.y) => {
                env.ctx.pool.for_each_chunk_mut(env.write::<u8>(self.y), CHUNK, |_, y| {
                    y.iter_mut().for_each(|y| *y = table[usize::from(*y)]);
                });
            }
            Table::Bytes(table) => {
                quant::lookup(env.ctx, env.read(self.x), table, env.write(self.y));
            }
            Table::Floats(table) => {
                let (x, y) = (env.read::<u8>(self.x), env.write::<f32>(self.y));
                env.ctx.pool.for_each_chunk_mut(y, CHUNK, |i, y| {
                    for (y, &x) in y.iter_mut().zip(&x[i * CHUNK..]) {
                        *y = table[usize::from(x)];
                    }
                });
            }
        }
    }
}
