//! NVIDIA's client against this server: REST in JSON and binary, gRPC, streams, cancellation.

use edgecut_testkit::Python;

use super::common::*;

const SCRIPT: &str = r#"
import sys, threading
import numpy as np
import tritonclient.grpc as grpc
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

http_url, grpc_url = sys.argv[1:3]
x = np.load("x.npy")

def inputs(module, binary=None):
    tensor = module.InferInput("image", list(x.shape), "FP32")
    if binary is None:
        tensor.set_data_from_numpy(x)
    else:
        tensor.set_data_from_numpy(x, binary_data=binary)
    return [tensor]

# REST: health, metadata, JSON both ways, binary both ways, one of each.
client = http.InferenceServerClient(http_url)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("net")
assert client.get_server_metadata()["name"] == "edgecut"
about = client.get_model_metadata("net")
assert about["inputs"][0]["shape"] == [-1, 3, 16, 16], about
name = about["outputs"][0]["name"]
results = []
for sent in (False, True):
    for wanted in (False, True):
        asked = [http.InferRequestedOutput(name, binary_data=wanted)]
        result = client.infer("net", inputs(http, sent), outputs=asked, request_id="r1", timeout=60_000_000, priority=1)
        assert result.get_response()["id"] == "r1"
        results.append(result.as_numpy(name))
results.append(client.infer("net", inputs(http)).as_numpy(name))
for wrong in ("none", "net"):
    try:
        bad = http.InferInput("image", [1, 3, 16, 17], "FP32")
        bad.set_data_from_numpy(np.zeros([1, 3, 16, 17], np.float32))
        client.infer(wrong, [bad])
        raise SystemExit("a wrong request was answered")
    except InferenceServerException as error:
        assert error.status() in ("404", "400"), error
handle = client.async_infer("net", inputs(http))
results.append(handle.get_result().as_numpy(name))
client.close()

# gRPC: the same, and what only it has.
client = grpc.InferenceServerClient(grpc_url)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("net", "1")
assert client.get_model_metadata("net").inputs[0].shape == [-1, 3, 16, 16]
result = client.infer("net", inputs(grpc), request_id="r2", timeout=60_000_000, client_timeout=60)
assert result.get_response().id == "r2"
assert result.get_response().parameters["edgecut_service_us"].int64_param > 0
results.append(result.as_numpy(name))
try:
    client.infer("none", inputs(grpc))
    raise SystemExit("a model that is not there answered")
except InferenceServerException as error:
    assert "NOT_FOUND" in error.status(), error

# A stream, in which one request is wrong.
answers, done = [], threading.Event()
def heard(result, error):
    answers.append((result, error))
    if len(answers) == 6:
        done.set()
client.start_stream(callback=heard)
for number in range(6):
    client.async_stream_infer("none" if number == 3 else "net", inputs(grpc), request_id=str(number))
assert done.wait(60), len(answers)
client.stop_stream()
assert [number for number, (_, error) in enumerate(answers) if error] == [3], answers
results += [result.as_numpy(name) for result, error in answers if not error]

# A stream and a call that are given up; the server serves on.
client.start_stream(callback=lambda result, error: None)
for number in range(50):
    client.async_stream_infer("net", inputs(grpc))
client.stop_stream(cancel_requests=True)
call = client.async_infer("net", inputs(grpc), callback=lambda result, error: None)
call.cancel()
results.append(client.infer("net", inputs(grpc)).as_numpy(name))
client.close()

assert all(np.array_equal(result, results[1]) for result in results[1:4:2]), "binary answers differ"
np.save("y.npy", np.stack(results))
"#;

#[test]
fn tritonclient_is_answered() {
    let Some(python) = Python::with(&["tritonclient.http", "tritonclient.grpc"]) else { return };
    let graph = net(8);
    let (server, _folder) = serve(&graph);
    let input = pictures(2);
    let (http, grpc) = (server.http().unwrap().to_string(), server.grpc().unwrap().to_string());
    let results = python.run(SCRIPT, &[&http, &grpc], &[("x", &input)]).unwrap();
    let wanted = expected(&graph, &input);
    let answers = results["y"].f32s().unwrap();
    assert!(answers.len() > 10 * wanted.len());
    for answer in answers.chunks(wanted.len()) {
        assert_eq!(answer, wanted.f32s().unwrap());
    }
}
