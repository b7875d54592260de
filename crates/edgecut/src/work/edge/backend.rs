//! What answers the requests of local programs: the device's half behind the protocol's front.

use std::sync::Arc;
use std::time::{Duration, Instant};

use edgecut_edge::engine::Port;
use edgecut_edge::request::Mark;
use edgecut_edge::{Answer, Edge, EdgeError, Picture, Question};
use edgecut_graph::Tensor;
use edgecut_oip::{
    Datatype, InferRequest, InferResponse, ModelMetadata, ServerMetadata, TensorMetadata,
    WireTensor, names,
};
use edgecut_serve::front::{Backend, Call, Kind, Page, Refusal};
use edgecut_train::data::transform::Transform;
use edgecut_train::data::{Image, Preprocess};

/// Which way an answer came, in the parameters of a response: local, split, cloud or exit.
const ANSWERED: &str = "edgecut_answered";

/// Of a cascade, whether a certificate stands behind the answer: it is the large model's, or one that the
/// small model was sure enough of, and there is no alarm.
const CERTIFIED: &str = "edgecut_certified";

/// Time from question to answer in microseconds, in the parameters of a response.
const ELAPSED_US: &str = "edgecut_elapsed_us";

/// A device's half.
pub struct Local {
    edge: Arc<Edge>,
    /// How pictures become the input, where the model says it.
    pictures: Option<Preprocess>,
}

impl Local {
    /// In front of `edge`.
    pub fn new(edge: Arc<Edge>, pictures: Option<Preprocess>) -> Local {
        Local { edge, pictures }
    }

    /// The inputs in the model's order, or the picture that the only one is to be made of.
    async fn inputs(
        &self,
        request: &InferRequest,
    ) -> Result<(Vec<Tensor>, Option<Picture>), Refusal> {
        let mut inputs = vec![];
        for port in self.edge.inputs() {
            let named = request.inputs.iter().find(|tensor| tensor.name() == port.name);
            let wire = named.ok_or_else(|| invalid(format!("input '{}' is missing", port.name)))?;
            if wire.datatype() == Datatype::Bytes {
                let picture = self.picture(self.file(wire, port)?, port)?;
                if self.edge.inputs().len() == 1 {
                    return Ok((inputs, Some(picture)));
                }
                inputs.push(decoded(picture).await?);
            } else {
                inputs.push(wire.to_tensor_of(port.dtype).map_err(|e| invalid(e.to_string()))?);
            }
        }
        Ok((inputs, None))
    }

    fn file(&self, wire: &WireTensor, port: &Port) -> Result<Arc<[u8]>, Refusal> {
        let files = wire.elements().map_err(|e| invalid(e.to_string()))?;
        match files.as_slice() {
            [file] => Ok(file.as_ref().into()),
            _ => Err(invalid(format!("input '{}': one picture, not {}", port.name, files.len()))),
        }
    }

    /// A picture's file, and how it becomes the input.
    fn picture(&self, file: Arc<[u8]>, port: &Port) -> Result<Picture, Refusal> {
        let Some(description) = self.pictures.clone() else {
            let name = &port.name;
            return Err(invalid(format!(
                "input '{name}': the model does not say how pictures become it"
            )));
        };
        let (name, shape) = (port.name.clone(), port.shape.clone());
        let input = move |file: &[u8]| -> Result<Tensor, String> {
            let image = Image::from_bytes(file).map_err(|e| e.to_string())?;
            let mut transform = Transform::new(&description).map_err(|e| e.to_string())?;
            let mut values = vec![0f32; shape.iter().product()];
            transform.apply_nchw(&image, &mut values).map_err(|e| e.to_string())?;
            Tensor::new(shape.as_slice(), values).map_err(|e| e.to_string())
        };
        let decode =
            move |file: &[u8]| input(file).map_err(|problem| format!("input '{name}': {problem}"));
        Ok(Picture { file, decode: Arc::new(decode) })
    }

    fn response(&self, request: InferRequest, answer: &Answer) -> Result<InferResponse, Refusal> {
        if answer.mark == Mark::Late {
            let problem = answer.problem.clone().unwrap_or_default();
            if answer.invalid {
                return Err(invalid(problem));
            }
            return Err(Refusal::new(Kind::Late, format!("no answer by the deadline: {problem}")));
        }
        let wanted = |port: &Port| {
            request.outputs.is_empty() || request.outputs.iter().any(|o| o.name == port.name)
        };
        let outputs = self.edge.outputs().iter().zip(&answer.outputs);
        let outputs = outputs.filter(|(port, _)| wanted(port));
        let outputs = outputs.map(|(port, tensor)| WireTensor::from_tensor(&port.name, tensor));
        let mut response = InferResponse {
            model: request.model,
            version: "1".into(),
            id: request.id,
            outputs: outputs.collect(),
            ..InferResponse::default()
        };
        response.parameters.set(ANSWERED, answer.mark.word());
        if self.edge.is_cascade() {
            response.parameters.set(CERTIFIED, answer.mark != Mark::Local);
        }
        response.parameters.set(ELAPSED_US, answer.elapsed.as_micros() as i64);
        Ok(response)
    }

    fn known(&self, name: &str, version: &str) -> Result<(), Refusal> {
        match name == self.edge.name() && matches!(version, "" | "1") {
            true => Ok(()),
            false => {
                let there = self.edge.name();
                let problem = format!("no model '{name}' of version '{version}': there is {there}");
                Err(Refusal::new(Kind::NotFound, problem))
            }
        }
    }
}

/// The input that a picture becomes. Takes milliseconds, so not on a thread that waits for others.
async fn decoded(picture: Picture) -> Result<Tensor, Refusal> {
    let done = tokio::task::spawn_blocking(move || (picture.decode)(&picture.file)).await;
    done.map_err(|e| Refusal::new(Kind::Internal, e.to_string()))?.map_err(invalid)
}

fn invalid(problem: String) -> Refusal {
    Refusal::new(Kind::Invalid, problem)
}

impl Backend for Local {
    fn ready(&self) -> bool {
        true
    }

    fn about(&self) -> ServerMetadata {
        ServerMetadata {
            name: "edgecut-edge".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            extensions: vec![names::BINARY_EXTENSION.into()],
        }
    }

    fn model(&self, name: &str, version: &str) -> Result<ModelMetadata, Refusal> {
        self.known(name, version)?;
        let ports = |ports: &[Port]| {
            let about = |port: &Port| TensorMetadata {
                name: port.name.clone(),
                datatype: Datatype::from(port.dtype).name().into(),
                shape: port.shape.iter().map(|&extent| extent as i64).collect(),
            };
            ports.iter().map(about).collect()
        };
        Ok(ModelMetadata {
            name: name.into(),
            versions: vec!["1".into()],
            platform: "edgecut-edge".into(),
            inputs: ports(self.edge.inputs()),
            outputs: ports(self.edge.outputs()),
            ..ModelMetadata::default()
        })
    }

    async fn infer(&self, request: InferRequest, call: Call) -> Result<InferResponse, Refusal> {
        self.known(&request.model, &request.version)?;
        let (inputs, picture) = self.inputs(&request).await?;
        let asked = request.parameters.count(names::TIMEOUT).map_err(|e| invalid(e.to_string()))?;
        let until = call.deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = asked.map(Duration::from_micros).into_iter().chain(until).min();
        let question =
            Question { id: request.id.clone(), inputs, picture, left, trace: call.parent };
        let answer = self.edge.ask(question).await.map_err(|error| match error {
            EdgeError::Busy => Refusal::new(Kind::Busy, error.to_string()),
            other => invalid(other.to_string()),
        })?;
        self.response(request, &answer)
    }

    fn metrics(&self) -> String {
        self.edge.metrics_text()
    }

    fn status(&self) -> serde_json::Value {
        let mut status = self.edge.status();
        status["ready"] = self.ready().into();
        status["server"] = serde_json::json!(self.about());
        status
    }

    fn page(&self) -> Option<Page> {
        Some(Page { title: "edgecut edge", script: include_str!("page.js") })
    }
}
