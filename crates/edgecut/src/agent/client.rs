//! Asking an agent.

use std::path::Path;
use std::time::Duration;

use edgecut_device::DeviceProfile;
use edgecut_device::cost::Sample;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Body, SendBody};

use super::{About, Ask, AskProfile, AskSample, Pass, Ran, Refusal};
use crate::errors::{Failure, Result};

/// Longest answer.
const MAX_ANSWER: u64 = 64 << 20;

/// How long to wait for a connection, and for the end of a measurement.
const CONNECT: Duration = Duration::from_secs(10);
const MEASURE: Duration = Duration::from_secs(3600);

/// A device that can be reached.
pub struct Agent {
    pass: Pass,
    http: ureq::Agent,
}

impl Agent {
    /// The agent that wrote the pass at `path`. Nothing is sent yet.
    pub fn open(path: &Path) -> Result<Agent> {
        let pass = Pass::read(path)?;
        let certificate = Certificate::from_pem(pass.certificate.as_bytes())
            .map_err(|e| Failure::input(format!("certificate: {e}")).at(path))?;
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[certificate]));
        let http = ureq::Agent::config_builder()
            .tls_config(tls.build())
            .https_only(true)
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(MEASURE))
            .build();
        Ok(Agent { pass, http: http.into() })
    }

    /// What the device is.
    pub fn about(&self) -> Result<About> {
        let request = self.http.get(format!("{}/v1/device", self.pass.url));
        self.answer(request.header("Authorization", self.authorization()).call())
    }

    /// Runs the model file at `path` there; `ask.kind` is what its name ends in.
    pub fn bench(&self, path: &Path, ask: &Ask) -> Result<Ran> {
        // An agent that does not know the pass hangs up before a model has arrived; a short request
        // brings its answer.
        self.about()?;
        let model = std::fs::read(path).map_err(|e| Failure::io(path, &e))?;
        self.post("bench", ask, model.as_slice()).map_err(|e| e.at(path))
    }

    /// Runs an ONNX file there, as a whole and step by step.
    pub fn sample(&self, model: &[u8], ask: &AskSample) -> Result<Sample> {
        self.post("sample", ask, model)
    }

    /// Measures the device.
    pub fn profile(&self, ask: &AskProfile) -> Result<DeviceProfile> {
        let profile: DeviceProfile = self.post("profile", ask, &[])?;
        profile
            .check()
            .map_err(|problem| Failure::input(format!("{}: {problem}", self.pass.url)))?;
        Ok(profile)
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.pass.token)
    }

    fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        query: &impl Serialize,
        body: &[u8],
    ) -> Result<T> {
        let mut request = self.http.post(format!("{}/v1/{what}", self.pass.url));
        let query = serde_json::to_value(query).map_err(|e| Failure::input(e.to_string()))?;
        for (name, value) in query.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            request = request.query(name, text);
        }
        let request = request.header("Authorization", self.authorization());
        self.answer(request.send(SendBody::from_reader(&mut std::io::Cursor::new(body))))
    }

    fn answer<T: DeserializeOwned>(
        &self,
        response: std::result::Result<Response<Body>, ureq::Error>,
    ) -> Result<T> {
        let url = &self.pass.url;
        let mut response = response.map_err(|e| {
            let hint = "is `edgecut agent` running there, and is the pass its newest?";
            Failure::input(format!("{url}: {e}")).hint(hint)
        })?;
        let broken =
            |e: String| Failure::input(format!("{url}: gave no answer that is known: {e}"));
        let limited = response.body_mut().with_config().limit(MAX_ANSWER);
        let text = limited.read_to_vec().map_err(|e| broken(e.to_string()))?;
        if response.status().is_success() {
            return serde_json::from_slice(&text).map_err(|e| broken(e.to_string()));
        }
        let status = response.status();
        let refusal: Refusal = serde_json::from_slice(&text)
            .map_err(|_| broken(format!("{status} {}", String::from_utf8_lossy(&text))))?;
        let failure = Failure::input(format!("{url}: {}", refusal.error));
        Err(match refusal.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    }
}
