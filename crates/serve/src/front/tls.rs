//! Certificates: read from files, and read again when the files change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::error::{Result, ServeError};

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(500);

/// PEM files of a server.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Its certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of clients; with them only clients that show a certificate are served.
    pub clients: Option<PathBuf>,
}

/// The configuration in use, and what it was read from.
pub(super) struct Tls {
    files: TlsFiles,
    current: RwLock<(Arc<ServerConfig>, Vec<Stamp>)>,
}

/// Time and size of a file; both change with the content.
type Stamp = Option<(SystemTime, u64)>;

impl Tls {
    pub fn load(files: TlsFiles) -> Result<Tls> {
        let stamps = files.stamps();
        let current = RwLock::new((files.config()?, stamps));
        Ok(Tls { files, current })
    }

    /// What new connections use.
    pub fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.read().unwrap_or_else(|e| e.into_inner());
        Arc::clone(&current.0)
    }

    /// Reads the files again if they have changed. What cannot be used leaves the old in place.
    fn refresh(&self) -> Result<bool> {
        let stamps = self.files.stamps();
        if self.current.read().unwrap_or_else(|e| e.into_inner()).1 == stamps {
            return Ok(false);
        }
        let config = self.files.config();
        let mut current = self.current.write().unwrap_or_else(|e| e.into_inner());
        current.1 = stamps;
        current.0 = config?;
        Ok(true)
    }
}

/// Looks at the files until the front stops.
pub(super) async fn watch(tls: Arc<Tls>, mut stopped: watch::Receiver<bool>) {
    while tokio::time::timeout(POLL, stopped.changed()).await.is_err() {
        match tls.refresh() {
            Ok(true) => eprintln!("new certificates are in use"),
            Ok(false) => {}
            Err(error) => eprintln!("the old certificates stay in use: {error}"),
        }
    }
}

impl TlsFiles {
    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        let files = [Some(&self.certificate), Some(&self.key), self.clients.as_ref()];
        files.into_iter().flatten().map(|path| stamp(path)).collect()
    }

    fn config(&self) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|e| ServeError::file(&self.key, format!("no private key in PEM: {e}")))?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| ServeError::file(&self.certificate, e.to_string()))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    let wrong = |e| ServeError::file(path, format!("no authority: {e}"));
                    roots.add(authority).map_err(wrong)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier =
                    verifier.build().map_err(|e| ServeError::file(path, e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|e| ServeError::file(&self.certificate, e.to_string()))?;
        // A client offers what its protocol needs: `h2` for gRPC, `http/1.1` for REST.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let wrong = |e| ServeError::file(path, format!("no certificates in PEM: {e}"));
    let found: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(wrong)?.collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() {
        return Err(ServeError::file(path, "no certificates in PEM"));
    }
    Ok(found)
}
