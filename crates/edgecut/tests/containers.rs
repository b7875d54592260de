//! The files of `deploy`: they hang together, and start `edgecut` with options that it has.

use std::path::{Path, PathBuf};
use std::process::Command;

use edgecut_testkit::{Python, workspace_root};

/// Reads manifests, checks what refers to something within one, and saves the command lines of
/// containers with `edgecut`.
const SCRIPT: &str = r#"
import json, sys
import numpy as np, yaml

lines = []
for path in sys.argv[1:]:
    documents = [d for d in yaml.safe_load_all(open(path)) if d]
    labels = []
    for document in documents:
        assert document["apiVersion"] and document["kind"] and document["metadata"]["name"], path
        spec = document["spec"]
        if "template" in spec:
            found = spec["template"]["metadata"]["labels"]
            labels.append(found)
            wanted = spec.get("selector", {}).get("matchLabels", {})
            assert wanted.items() <= found.items(), (path, wanted)
        pod = spec.get("template", {}).get("spec") or spec
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        for container in pod.get("containers", []):
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts == volumes, (path, mounts, volumes)
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            told = " ".join(container["args"])
            assert all(f":{port}" in told for port in ports.values()), (path, ports)
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind, {}).get("httpGet", {})
                port = probe.get("port")
                assert port is None or port in ports or f":{port}" in told, (path, kind, port)
                assert (probe.get("scheme") == "HTTPS") <= ("--tls-cert" in told), (path, kind)
                if probe:
                    assert probe["path"] in ("/v2/health/live", "/v2/health/ready"), (path, kind)
            mounted = [mount["mountPath"] for mount in container.get("volumeMounts", [])]
            for arg in container["args"]:
                file = arg.partition("=")[2]
                if file.startswith("/"):
                    assert any(file.startswith(folder) for folder in mounted), (path, arg)
            assert set(container["resources"]["limits"]) >= {"memory"}, path
            if container["command"] == ["edgecut"]:
                lines.append([path] + container["args"])
    for document in documents:
        selector = document["spec"].get("selector", {})
        selector = selector.get("matchLabels", selector)
        if labels and selector:
            assert any(selector.items() <= found.items() for found in labels), (path, selector)
np.save("lines.npy", np.frombuffer(json.dumps(lines).encode(), np.uint8))
"#;

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(workspace_root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

/// Options are checked in the order in which they are read, so that help that is asked for last is given
/// only where all others are known.
fn takes(args: &[String]) -> bool {
    let program = env!("CARGO_BIN_EXE_edgecut");
    Command::new(program).args(args).arg("--help").output().unwrap().status.success()
}

#[test]
fn manifests_start_edgecut_with_options_that_it_has() {
    let Some(python) = Python::with(&["yaml"]) else { return };
    let manifests = files("deploy/kubernetes", "yaml");
    let paths: Vec<&str> = manifests.iter().map(|path| path.to_str().unwrap()).collect();
    let results = python.run(SCRIPT, &paths, &[]).unwrap();
    let lines: Vec<Vec<String>> = serde_json::from_slice(results["lines"].u8s().unwrap()).unwrap();
    for manifest in &paths {
        assert!(lines.iter().any(|line| line[0] == *manifest), "{manifest} starts nothing");
    }
    for line in &lines {
        assert!(takes(&line[1..]), "{line:?}");
        let wrong = [&line[1..], &["--no-such-option".to_string()]].concat();
        assert!(!takes(&wrong));
    }
}

#[test]
fn the_image_is_built_of_files_that_are_there() {
    let root = workspace_root();
    let text = std::fs::read_to_string(root.join("deploy/docker/Dockerfile")).unwrap();
    let copies = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    let own = copies.filter(|copy| !copy.starts_with("--from"));
    let sources: Vec<&str> = own
        .flat_map(|copy| {
            let mut files: Vec<&str> = copy.split_whitespace().collect();
            files.pop();
            files
        })
        .collect();
    assert!(sources.contains(&"Cargo.lock"));
    for source in &sources {
        assert!(root.join(source).exists(), "{source}");
    }
    // Members of the workspace must be there to build any of it.
    let workspace = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = workspace.lines().find_map(|line| line.strip_prefix("members = ")).unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        let folder = Path::new(member).iter().next().unwrap().to_str().unwrap();
        assert!(sources.contains(&folder), "{folder} is not copied");
    }
    let version = workspace.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    assert!(text.contains(&format!("FROM rust:{}", version.trim_matches('"'))));
    assert!(text.contains("target/release/edgecut "));
}
