//! `edgecut edge`: programs ask it as they would ask a server.

mod common;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use common::{beginner, command, json, model, refuse, scratch, succeed, text, toy};
use edgecut_testkit::NatsServer;
use serde_json::{Value, json as object};

/// A daemon, which ends with its test.
struct Daemon {
    child: Child,
    said: Value,
}

impl Daemon {
    fn start(args: &[&str]) -> Daemon {
        let listen = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--json", "--threads", "1"];
        let mut child = command(&[&["edge"], args, &listen[..]].concat())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("is piped");
        BufReader::new(out).read_line(&mut line).expect("says where it listens");
        Daemon { child, said: serde_json::from_str(&line).expect("JSON") }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.said["http"].as_str().expect("HTTP is on"))
    }

    /// An input that fits the model.
    fn input(&self) -> Value {
        let path = self.url(&format!("v2/models/{}", self.said["model"].as_str().unwrap()));
        let about = ureq::get(path).call().unwrap().body_mut().read_to_string().unwrap();
        let about: Value = serde_json::from_str(&about).unwrap();
        let (name, shape) = (&about["inputs"][0]["name"], &about["inputs"][0]["shape"]);
        let count: i64 = shape.as_array().unwrap().iter().map(|d| d.as_i64().unwrap()).product();
        let data = vec![0.25; count as usize];
        object!([{"name": name, "shape": shape, "datatype": "FP32", "data": data}])
    }

    fn ask(&self, body: &Value) -> (u16, Value) {
        self.post(body, &[])
    }

    /// Asks with a picture's file.
    fn ask_of(&self, picture: &Path) -> (u16, Value) {
        let file = std::fs::read(picture).expect("a picture");
        let binary = [&(file.len() as u32).to_le_bytes()[..], &file].concat();
        let mut input = self.input()[0].clone();
        input.as_object_mut().expect("an input").remove("data");
        (input["shape"], input["datatype"]) = (object!([1]), "BYTES".into());
        input["parameters"] = object!({"binary_data_size": binary.len()});
        self.post(&object!({"inputs": [input]}), &binary)
    }

    fn post(&self, body: &Value, binary: &[u8]) -> (u16, Value) {
        let path = format!("v2/models/{}/infer", self.said["model"].as_str().expect("a name"));
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let text = body.to_string();
        let mut request = agent.post(self.url(&path));
        if !binary.is_empty() {
            request = request.header("Inference-Header-Content-Length", text.len().to_string());
        }
        let mut response = request.send([text.as_bytes(), binary].concat()).expect("answers");
        let answer = response.body_mut().read_to_string().expect("text");
        (response.status().as_u16(), serde_json::from_str(&answer).expect("JSON"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Plans of the toy.
fn plans(folder: &Path) {
    json(&[
        "split",
        text(model()),
        "--link",
        "5,40",
        "--server",
        "100x",
        "--threads",
        "1",
        "--data",
        text(toy()),
        "--images",
        "4",
        "--check",
        "4",
        "--out-plans",
        text(folder),
    ]);
}

#[test]
fn a_device_alone_and_with_a_dead_server_answers() {
    let folder = scratch().join("edge-plans");
    plans(&folder);
    // Nobody listens on port 9.
    for server in [&[][..], &["--server", "http://127.0.0.1:9"]] {
        let daemon = Daemon::start(&[&[text(&folder)], server].concat());
        let input = daemon.input();
        let (status, answer) = daemon.ask(&object!({"id": "a", "inputs": input}));
        assert_eq!((status, &answer["id"]), (200, &object!("a")), "{answer}");
        assert_eq!(answer["parameters"]["edgecut_answered"], "local", "{answer}");
        assert_eq!(daemon.ask(&object!({"id": "a", "inputs": input})).1, answer);
        let soon = object!({"inputs": input, "parameters": {"timeout": 1}});
        assert_eq!(daemon.ask(&soon).0, 504);
        let wrong =
            object!([{"name": input[0]["name"], "shape": [1], "datatype": "FP32", "data": [1.0]}]);
        let (status, answer) = daemon.ask(&object!({"inputs": wrong}));
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().contains("the model takes"), "{answer}");
        let name = &input[0]["name"];
        let broken =
            object!([{"name": name, "shape": [1], "datatype": "BYTES", "data": ["no picture"]}]);
        let (status, answer) = daemon.ask(&object!({"inputs": broken}));
        assert_eq!(status, 400, "{answer}");
        let metrics = ureq::get(daemon.url("metrics")).call().unwrap();
        let metrics = metrics.into_body().read_to_string().unwrap();
        for line in [
            "edgecut_edge_latency_seconds_count{mark=\"local\"} 1",
            "edgecut_edge_latency_seconds_count{mark=\"late\"} 1",
            "edgecut_edge_repeated_total 1",
        ] {
            assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
        }
        let get = |path| ureq::get(daemon.url(path)).call().unwrap().into_body().read_to_string();
        let status: Value = serde_json::from_str(&get("status.json").unwrap()).unwrap();
        for mark in ["local", "late"] {
            assert_eq!(status["answers"][mark], 1, "{status}");
        }
        assert_eq!(status["servers"].as_array().unwrap().len(), server.len() / 2);
        assert!(status["latency_ms"]["local"][1].as_f64().unwrap() > 0.0, "{status}");
        let page = get("").unwrap();
        assert!(page.contains("<title>edgecut edge</title>") && page.contains("draw(status)"));
        assert!(!page.contains("{{") && !page.contains("https://"), "works offline");
    }
}

#[test]
fn one_plan_alone_has_no_reserve() {
    let folder = scratch().join("edge-only");
    plans(&folder);
    let refused = refuse(&["edge", text(&folder), "--only", "cloud"]);
    assert!(refused.contains("there are local, raw"), "{refused}");
    assert!(refuse(&["edge", text(&folder), "--only", "raw"]).contains("--server"));
    // Nobody listens on port 9.
    for (plan, status) in [("local", 200), ("raw", 504)] {
        let daemon =
            Daemon::start(&[text(&folder), "--server", "http://127.0.0.1:9", "--only", plan]);
        assert_eq!(daemon.ask(&object!({"inputs": daemon.input()})).0, status, "{plan}");
    }
}

#[test]
fn a_certificate_says_which_answers_of_the_device_will_do() {
    let (folder, certificate) = (scratch().join("edge-cascade"), scratch().join("edge.json"));
    plans(&folder);
    let models = ["cascade", text(beginner()), text(model()), "--data", text(toy()), "-q"];
    let loose = ["--part", "all", "--epsilon", "0.1", "--delta", "0.1"];
    succeed(&[&models[..], &loose, &["--out", text(&certificate)]].concat());
    let cascade =
        |small| ["edge", text(&folder), "--cascade", text(&certificate), "--small", text(small)];
    // Nobody listens on port 9.
    let options = ["--server", "http://127.0.0.1:9", "--audit", "1"];
    let daemon = Daemon::start(&[&cascade(beginner())[1..], &options].concat());
    let (status, answer) = daemon.ask(&object!({"inputs": daemon.input()}));
    assert_eq!(status, 400, "both models normalise in their own way: {answer}");
    let (status, answer) = daemon.ask_of(&toy().join("test/across/0.png"));
    assert_eq!(status, 200, "{answer}");
    let parameters = &answer["parameters"];
    let exit = parameters["edgecut_answered"] == "exit";
    assert!(exit || parameters["edgecut_answered"] == "local", "{answer}");
    assert_eq!(parameters["edgecut_certified"], exit, "{answer}");
    let metrics = ureq::get(daemon.url("metrics")).call().unwrap();
    let metrics = metrics.into_body().read_to_string().unwrap();
    assert!(metrics.contains("edgecut_edge_cascade_alarm 0"), "{metrics}");
    let refused = refuse(&cascade(model()));
    assert!(refused.contains("another edge model") && refused.contains("edge.json"), "{refused}");
    let both = [&cascade(beginner())[..], &["--only", "local"]].concat();
    assert!(refuse(&both).contains("cannot be used with"));
}

#[test]
fn samples_wait_on_a_server() {
    let Some(nats) = NatsServer::start("") else { return };
    let folder = scratch().join("edge-nats");
    plans(&folder);
    let url = nats.url();
    let options = [text(&folder), "--nats", &url, "--nats-name", "door", "--confidence", "1"];
    // The second device finds what the first one left.
    for waiting in [1, 2] {
        let daemon = Daemon::start(&options);
        assert_eq!(daemon.ask(&object!({"inputs": daemon.input()})).0, 200);
        let stored = || {
            let status = ureq::get(daemon.url("status.json")).call().unwrap();
            let status = status.into_body().read_to_string().unwrap();
            let status: Value = serde_json::from_str(&status).unwrap();
            (status["store"]["stored"].clone(), status["store"]["waiting"].clone())
        };
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while stored().0 != 1 {
            assert!(std::time::Instant::now() < end, "{:?}", stored());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(stored().1, waiting);
    }
    let nobody = ["edge", text(&folder), "--nats", "nats://127.0.0.1:9"];
    assert!(refuse(&nobody).contains("no server answers"));
}

#[test]
fn what_is_no_folder_of_plans_is_refused() {
    assert!(refuse(&["edge", text(toy())]).contains("plans.json"));
    assert!(refuse(&["edge", text(toy()), "--deadline", "0"]).contains("allowed"));
}
