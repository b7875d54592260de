//! Who may ask: tokens, of which a request must show one.

use std::path::Path;

use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

use super::refusal::{Kind, Refusal};
use crate::error::{Result, ServeError};

/// Longest file of tokens, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Shortest token, in bytes: less can be guessed.
const MIN_TOKEN: usize = 16;

/// Hashes of tokens: comparing those tells nothing of how much of a guess was right.
pub(super) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// One token a line; empty lines and those that begin with `#` are none.
    pub fn load(path: &Path) -> Result<Tokens> {
        let text = crate::error::read_text(path, MAX_BYTES)?;
        let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let mut hashes = Vec::new();
        for line in lines {
            if line.len() < MIN_TOKEN {
                let problem = format!("a token of {} bytes: at least {MIN_TOKEN}", line.len());
                return Err(ServeError::file(path, problem));
            }
            hashes.push(Sha256::digest(line).into());
        }
        if hashes.is_empty() {
            return Err(ServeError::file(path, "holds no token: nobody could ask"));
        }
        Ok(Tokens(hashes))
    }

    /// Lets a request pass that shows a token, as `Authorization: Bearer TOKEN`.
    pub fn check(&self, headers: &HeaderMap) -> std::result::Result<(), Refusal> {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
        let hash: [u8; 32] = Sha256::digest(shown.trim()).into();
        if self.0.contains(&hash) {
            return Ok(());
        }
        let message = "no token, or none that this server knows: Authorization: Bearer TOKEN";
        Err(Refusal::new(Kind::Unauthenticated, message))
    }
}
