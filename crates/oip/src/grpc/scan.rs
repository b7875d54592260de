//! A look over the bytes of a message before it is decoded.
//!
//! An empty tensor is two bytes on the wire and some hundred in memory, so a message within its
//! limit of bytes could still ask for a hundred times as much. Counting fields costs one pass over
//! their headers and bounds what decoding allocates to a small multiple of the message.

use crate::limits::{MAX_BYTES_ELEMENTS, MAX_PARAMETERS, MAX_TENSORS};
use crate::{OipError, Result};

use super::messages::*;

/// How many fields a message may have, and which of them are messages to look into.
pub struct Rules {
    name: &'static str,
    fields: usize,
    inside: &'static [(u64, &'static Rules)],
}

/// A message whose bytes can be looked over.
pub trait Scanned: Message + Default + Send + 'static {
    /// What its bytes may hold.
    const RULES: &'static Rules;
}

static SMALL: Rules = Rules { name: "message", fields: 1024, inside: &[] };
static CONTENTS: Rules = Rules { name: "contents", fields: MAX_BYTES_ELEMENTS, inside: &[] };
static TENSOR: Rules =
    Rules { name: "tensor", fields: 64 + MAX_PARAMETERS, inside: &[(5, &CONTENTS)] };
/// Tensors, the wishes for outputs and raw contents count up to [`MAX_TENSORS`] each.
const INFER_FIELDS: usize = 3 * MAX_TENSORS + MAX_PARAMETERS + 64;
static REQUEST: Rules =
    Rules { name: "request", fields: INFER_FIELDS, inside: &[(5, &TENSOR), (6, &TENSOR)] };
static RESPONSE: Rules = Rules { name: "response", fields: INFER_FIELDS, inside: &[(5, &TENSOR)] };
static STREAMED: Rules = Rules { name: "streamed response", fields: 64, inside: &[(2, &RESPONSE)] };
static METADATA: Rules =
    Rules { name: "metadata", fields: 1024, inside: &[(4, &TENSOR), (5, &TENSOR)] };

macro_rules! scanned {
    ($($message:ty: $rules:ident),* $(,)?) => {$(
        impl Scanned for $message {
            const RULES: &'static Rules = &$rules;
        }
    )*};
}
scanned!(
    ServerLiveRequest: SMALL,
    ServerLiveResponse: SMALL,
    ServerReadyRequest: SMALL,
    ServerReadyResponse: SMALL,
    ServerMetadataRequest: SMALL,
    ServerMetadataResponse: SMALL,
    ModelReadyRequest: SMALL,
    ModelReadyResponse: SMALL,
    ModelMetadataRequest: SMALL,
    ModelMetadataResponse: METADATA,
    ModelInferRequest: REQUEST,
    ModelInferResponse: RESPONSE,
    ModelStreamInferResponse: STREAMED,
);

/// Checks the bytes of a message against its rules.
pub(super) fn scan<T: Scanned>(bytes: &[u8]) -> Result<()> {
    look(bytes, T::RULES)
}

fn look(mut rest: &[u8], rules: &Rules) -> Result<()> {
    let torn = || OipError::malformed(rules.name, "bytes that are no protobuf message");
    let mut fields = 0;
    while !rest.is_empty() {
        fields += 1;
        OipError::within(rules.name, "fields", fields, rules.fields)?;
        let key = varint(&mut rest).ok_or_else(torn)?;
        let length = match key & 7 {
            0 => varint(&mut rest).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut rest).and_then(|n| usize::try_from(n).ok()),
            5 => Some(4),
            _ => None,
        };
        let (content, after) = rest.split_at_checked(length.ok_or_else(torn)?).ok_or_else(torn)?;
        rest = after;
        let inside = rules.inside.iter().find(|(number, _)| key >> 3 == *number && key & 7 == 2);
        if let Some((_, inside)) = inside {
            look(content, inside)?;
        }
    }
    Ok(())
}

/// A number of at most ten bytes, seven bits each, the lowest first.
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
