//! The manifests that start workers say what they should.

use std::process::Command;

use edgecut_testkit::{Python, workspace_root};

const KUBERNETES: &str = r#"
import sys, yaml
(job,) = yaml.safe_load_all(open(sys.argv[1]))
assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
spec = job["spec"]
assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"] > 1
pod = spec["template"]["spec"]
assert pod["restartPolicy"] == "OnFailure"
(worker,) = pod["containers"]
args = worker["args"]
assert worker["command"] == ["edgecut"] and args[:3] == ["search", "--worker", "--nats"]
env = {e["name"]: e for e in worker["env"]}
assert args[3] == "$(EDGECUT_NATS_URL)"
assert env["EDGECUT_NATS_URL"]["valueFrom"]["secretKeyRef"]["key"] == "url"
assert args[args.index("--threads") + 1] == worker["resources"]["requests"]["cpu"]
assert set(worker["resources"]["limits"]) == {"cpu", "memory"}
mounts = {m["name"]: m["mountPath"] for m in worker["volumeMounts"]}
assert set(mounts) == {v["name"] for v in pod["volumes"]}
assert "value: " + mounts["nats"] + "/user.creds" in open(sys.argv[1]).read()
"#;

#[test]
fn kubernetes() {
    let Some(python) = Python::with(&["yaml"]) else { return };
    let file = workspace_root().join("deploy/kubernetes/search-workers.yaml");
    python.run(KUBERNETES, &[&file.to_string_lossy()], &[]).unwrap();
}

/// The script starts a worker with the URL of the file and the threads of the job.
#[test]
#[cfg(unix)]
fn slurm() {
    let file = workspace_root().join("deploy/slurm/search-workers.sbatch");
    let text = std::fs::read_to_string(&file).unwrap();
    let options = text.lines().filter(|line| line.starts_with("#SBATCH --")).count();
    let first = text.lines().position(|line| line.starts_with("set ")).unwrap();
    let before = text.lines().take(first).filter(|line| line.starts_with("#SBATCH --")).count();
    assert!(options > 5 && before == options, "Slurm reads options before the first command only");

    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("url");
    let run = || {
        let mut command = Command::new("bash");
        command.arg(&file).env("EDGECUT", "echo").env("SLURM_CPUS_PER_TASK", "5");
        command.env("EDGECUT_NATS_URL_FILE", &url).output().unwrap()
    };
    assert_eq!(run().status.code(), Some(2));
    std::fs::write(&url, "nats://me:x@host:4222\n").unwrap();
    let said = String::from_utf8(run().stdout).unwrap();
    assert_eq!(said, "search --worker --nats nats://me:x@host:4222 --threads 5\n");
}
