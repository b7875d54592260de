//! The certificate, the private key and the token of an agent, made once and kept in a folder.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::errors::{Failure, Result};
use crate::files;

/// Largest pass that is read.
const MAX_BYTES: u64 = 1 << 20;

/// What a client needs to reach an agent. Whoever has it can use the device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pass {
    /// Such as `https://pi.local:7411`.
    pub url: String,
    /// The agent's certificate, PEM.
    pub certificate: String,
    /// What the client shows.
    pub token: String,
}

impl Pass {
    /// Reads the file of a pass.
    pub fn read(path: &Path) -> Result<Pass> {
        let size = std::fs::metadata(path).map_err(|e| Failure::io(path, &e))?.len();
        let wrong = |problem: String| {
            let hint = "it is the file that `edgecut agent` wrote on the device";
            Failure::input(format!("is no pass of an agent: {problem}")).at(path).hint(hint)
        };
        if size > MAX_BYTES {
            return Err(wrong(format!("{size} bytes")));
        }
        let text = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
        serde_json::from_slice(&text).map_err(|e| wrong(e.to_string()))
    }
}

/// What an agent has.
pub struct Keys {
    /// Private, PEM.
    pub key: String,
    /// Public, PEM.
    pub certificate: String,
    /// What clients must show.
    pub token: String,
}

impl Keys {
    /// The keys in `folder`; new ones for a host of these `names` where there are none.
    pub fn of(folder: &Path, names: &[String]) -> Result<Keys> {
        let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
        if !key.exists() || !certificate.exists() {
            make(folder, names)?;
        }
        let read = |path: &Path| std::fs::read_to_string(path).map_err(|e| Failure::io(path, &e));
        let (key, certificate) = (read(&key)?, read(&certificate)?);
        // 256 random bits are in the key, and a hash gives none of them away.
        let token = files::sha256(format!("edgecut agent token\n{key}").as_bytes());
        Ok(Keys { key, certificate, token })
    }
}

fn make(folder: &Path, names: &[String]) -> Result<()> {
    let wrong = |e: rcgen::Error| {
        let hint = "--name takes host names and addresses of this machine";
        Failure::input(format!("no certificate for {}: {e}", names.join(", "))).hint(hint)
    };
    let key = rcgen::KeyPair::generate().map_err(wrong)?;
    let parameters = rcgen::CertificateParams::new(names.to_vec()).map_err(wrong)?;
    let certificate = parameters.self_signed(&key).map_err(wrong)?;
    files::make_folder(folder)?;
    files::write_private(&folder.join("key.pem"), key.serialize_pem().as_bytes())?;
    files::write(&folder.join("certificate.pem"), certificate.pem().as_bytes())
}
