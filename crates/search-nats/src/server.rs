//! Where the server is, and who asks.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};
use edgecut_search::{Result, SearchError};

/// Longest pause before the client tries a lost server again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A NATS server, or a cluster of them, that runs JetStream.
#[derive(Clone, Debug)]
pub struct Server {
    /// `nats://HOST:PORT`, or `tls://HOST:PORT`; with `USER:PASSWORD@` or `TOKEN@` before the host
    /// (`%40` is an `@` in a password), and several servers of one cluster separated by commas.
    pub url: String,
    /// A file of credentials (`.creds`: a JWT and its key).
    pub credentials: Option<PathBuf>,
    /// Certificates (PEM) that the server's is checked against instead of those of the system.
    pub roots: Option<PathBuf>,
    /// How long the first connection may take.
    pub first_wait: Duration,
    /// How long a server that was there may be gone before the work is given up.
    pub patience: Duration,
    /// On how many servers of a cluster everything is kept: 1, 3 or 5.
    pub replicas: usize,
}

impl Server {
    /// The server at `url`, waited for 5 seconds at first, and for 5 minutes where it goes away.
    pub fn new(url: &str) -> Server {
        Server {
            url: url.into(),
            credentials: None,
            roots: None,
            first_wait: Duration::from_secs(5),
            patience: Duration::from_secs(300),
            replicas: 1,
        }
    }

    /// As [`Server::new`], with the credentials file that `EDGECUT_NATS_CREDENTIALS` names and the
    /// certificates that `EDGECUT_NATS_CA` names, where these are set.
    pub fn from_environment(url: &str) -> Server {
        let file = |name: &str| {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value.map(PathBuf::from)
        };
        Server {
            credentials: file("EDGECUT_NATS_CREDENTIALS"),
            roots: file("EDGECUT_NATS_CA"),
            ..Server::new(url)
        }
    }

    /// The URL without user, password and token, for messages.
    pub fn place(&self) -> String {
        let hide = |url: &str| {
            let (scheme, rest) = url.split_once("://").unwrap_or(("nats", url));
            let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
            format!("{scheme}://{host}")
        };
        self.url.split(',').map(|url| hide(url.trim())).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn error(&self, problem: impl Into<String>) -> SearchError {
        SearchError::Server { place: self.place(), problem: problem.into() }
    }

    pub(crate) fn addresses(&self) -> Result<Vec<ServerAddr>> {
        let parse = |url: &str| {
            let address: ServerAddr = url.trim().parse().map_err(|e| {
                self.error(format!("{e}; a server is written nats://HOST:4222 or tls://HOST:4222"))
            })?;
            match address.is_websocket() || address.host().is_empty() {
                true => Err(self.error("a server is written nats://HOST:4222 or tls://HOST:4222")),
                false => Ok(address),
            }
        };
        self.url.split(',').map(parse).collect()
    }

    /// Options of a connection; the credentials file is read.
    pub(crate) async fn options(&self, address: &ServerAddr) -> Result<ConnectOptions> {
        let mut options = ConnectOptions::new()
            .name("edgecut search")
            .reconnect_delay_callback(pause)
            .request_timeout(Some(crate::connection::ANSWER));
        match (address.username(), address.password()) {
            (Some(user), Some(password)) => {
                options = options.user_and_password(decode(user), decode(password));
            }
            (Some(token), None) => options = options.token(decode(token)),
            (None, _) => {}
        }
        if let Some(path) = &self.credentials {
            options = options.credentials_file(path).await.map_err(|e| {
                self.error(format!("credentials {}: {e}; name a .creds file", path.display()))
            })?;
        }
        if let Some(path) = &self.roots {
            if let Err(source) = std::fs::metadata(path) {
                return Err(SearchError::Io { path: path.clone(), source });
            }
            options = options.add_root_certificates(path.clone());
        }
        Ok(options)
    }

    /// What a connection that failed means; `None` where the server may just be starting.
    pub(crate) fn refusal(&self, error: &ConnectError) -> Option<SearchError> {
        // What is wrong with a certificate comes as an error of input and output.
        let kind = match error.kind() {
            ConnectErrorKind::Io if causes(error).contains("certificate") => ConnectErrorKind::Tls,
            kind => kind,
        };
        let text = match kind {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => format!(
                "the server does not let this user in ({error}); put USER:PASSWORD@ or TOKEN@ before \
                 the host of the URL, or name a credentials file"
            ),
            ConnectErrorKind::Tls => format!(
                "no secure connection ({}); name the file with the certificate of whoever signed the \
                 server's, or use nats:// where the server has no TLS",
                causes(error)
            ),
            ConnectErrorKind::ServerParse => error.to_string(),
            _ => return None,
        };
        Some(self.error(text))
    }
}

/// A pause before attempt number `attempt`: 50 ms, doubled each time.
pub(crate) fn pause(attempt: usize) -> Duration {
    let doubled = Duration::from_millis(50) * (1 << attempt.saturating_sub(1).min(10));
    doubled.min(LONGEST_PAUSE)
}

/// An error with all its sources.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = cause.source();
    }
    text
}

/// Undoes the percent-encoding of a part of a URL.
fn decode(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.as_bytes();
    while let Some((&first, others)) = rest.split_first() {
        let digits = others.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            None => {
                bytes.push(first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_password() {
        let place = |url: &str| Server::new(url).place();
        assert_eq!(place("nats://me:secret@host:4222"), "nats://host:4222");
        assert_eq!(place("tls://token@a:1,b:2"), "tls://a:1,nats://b:2");
        assert_eq!(place("me:p@ss@host"), "nats://host");
        assert_eq!(decode("p%40ss%zz%"), "p@ss%zz%");
    }

    #[test]
    fn what_is_no_server_is_said() {
        for url in ["http://host", "nats://", "ws://host", "nats://host:port", ""] {
            let error = Server::new(url).addresses().unwrap_err().to_string();
            assert!(error.contains("nats://HOST:4222"), "{url}: {error}");
        }
        assert_eq!(Server::new("a,tls://b:1").addresses().unwrap().len(), 2);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert_eq!(pause(1), Duration::from_millis(50));
        assert_eq!(pause(3), Duration::from_millis(200));
        assert_eq!(pause(1000), LONGEST_PAUSE);
    }
}
