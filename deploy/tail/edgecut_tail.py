# What the wrappers of MLServer, KServe, Ray Serve and Triton beside this file share: models of a split,
# in one of two profiles. README.md here says which is for whom.
#
#   EDGECUT_MODELS   folder NAME/VERSION/model.onnx: `server` of what `edgecut split --out-plans` writes
#   EDGECUT_SERVE    HOST:PORT, REST of an `edgecut serve` of the same folder, which decodes what crosses
#                    coded and computes the tail (profile packed). Models without a codec, and all
#                    without this, ONNX Runtime computes here, of tensors as they are (profile plain)
#   EDGECUT_THREADS  requests that ONNX Runtime computes at the same time, a thread each [1]
import http.client
import json
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

NUMPY = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32,
    "UINT64": np.uint64, "INT8": np.int8, "INT16": np.int16, "INT32": np.int32,
    "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}
DATATYPES = {np.dtype(kind): name for name, kind in NUMPY.items()}
ONNX = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32", "tensor(uint64)": "UINT64", "tensor(int8)": "INT8",
    "tensor(int16)": "INT16", "tensor(int32)": "INT32", "tensor(int64)": "INT64",
    "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
}

# Longest silence of `edgecut serve` in seconds; deadlines of requests are the parameter `timeout`.
SILENCE = 60


class Refused(Exception):
    """Why there is no answer, and the status of HTTP that says so."""

    def __init__(self, status, problem):
        # Both are arguments, so that it can be sent between processes.
        super().__init__(status, problem)
        self.status = status

    def __str__(self):
        return self.args[1]


class Port(NamedTuple):
    """An input or output; -1 in its shape takes any extent."""

    name: str
    datatype: str
    shape: list


def names():
    """The models of the folder."""
    return sorted({file.parent.parent.name for file in _root().glob("*/*/model.onnx")})


def threads():
    return int(os.environ.get("EDGECUT_THREADS", "1"))


def open_model(name):
    """The newest version of a model, in the profile that the environment asks for."""
    versions = [file.parent for file in _root().glob(f"{name}/*/model.onnx")]
    if not versions:
        raise Refused(404, f"EDGECUT_MODELS has no {name}/VERSION/model.onnx")
    folder = max(versions, key=lambda f: (f.name.isdigit(), int(f.name) if f.name.isdigit() else 0))
    address, codecs = os.environ.get("EDGECUT_SERVE"), list(folder.glob("input-*.codec"))
    return Packed(name, codecs, address) if address and codecs else Plain(folder)


def _root():
    if "EDGECUT_MODELS" not in os.environ:
        raise SystemExit("EDGECUT_MODELS must name the folder of models, NAME/VERSION/model.onnx")
    return Path(os.environ["EDGECUT_MODELS"])


class Plain:
    """A model that ONNX Runtime computes."""

    def __init__(self, folder):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # A thread a request: on a few cores that gives most requests per second.
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.inputs = [self._port(about) for about in self.session.get_inputs()]
        self.outputs = [self._port(about) for about in self.session.get_outputs()]
        self.concurrency = threads()

    @staticmethod
    def _port(about):
        shape = [d if isinstance(d, int) else -1 for d in about.shape]
        return Port(about.name, ONNX[about.type], shape)

    def infer(self, arrays, parameters):
        """Outputs by name, and parameters of the answer."""
        self._check(arrays)
        wanted = [port.name for port in self.outputs]
        try:
            return dict(zip(wanted, self.session.run(wanted, arrays))), {}
        except Exception as problem:
            raise Refused(500, str(problem)) from problem

    def _check(self, arrays):
        unknown = arrays.keys() - {port.name for port in self.inputs}
        if unknown:
            raise Refused(400, f"no input '{min(unknown)}'")
        for port in self.inputs:
            array = arrays.get(port.name)
            if array is None:
                raise Refused(400, f"input '{port.name}' is missing")
            datatype, shape = DATATYPES.get(array.dtype), list(array.shape)
            fits = len(shape) == len(port.shape) and all(
                wanted in (-1, found) for wanted, found in zip(port.shape, shape)
            )
            if not fits or datatype != port.datatype:
                takes = f"the model takes {port.datatype} {port.shape}"
                raise Refused(400, f"input '{port.name}': {datatype} {shape}, {takes}")


class Packed:
    """A model that `edgecut serve` decodes and computes; tensors are passed on as binary data."""

    def __init__(self, name, codecs, address):
        self.path, self.address = f"/v2/models/{name}", address
        # Requests wait there, not here: it knows their deadlines.
        self.concurrency = 64
        self.local = threading.local()
        about = json.loads(self._when_ready())
        ports = {kind: [Port(*map(p.get, Port._fields)) for p in about[kind]] for kind in ("inputs", "outputs")}
        coded = {int(file.stem[6:]) for file in codecs}
        self.inputs = [
            Port(port.name, "UINT8", [1, -1]) if index in coded else port
            for index, port in enumerate(ports["inputs"])
        ]
        self.outputs = ports["outputs"]

    def _when_ready(self):
        """The model's description, as soon as there is one: both may have been started together."""
        end = time.monotonic() + SILENCE
        while True:
            try:
                return self._ask("GET", self.path)[1]
            except Refused:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def infer(self, arrays, parameters):
        """Outputs by name, and parameters of the answer."""
        blobs = [np.ascontiguousarray(array).tobytes() for array in arrays.values()]
        inputs = [
            {"name": name, "datatype": DATATYPES[array.dtype], "shape": list(array.shape),
             "parameters": {"binary_data_size": len(blob)}}
            for (name, array), blob in zip(arrays.items(), blobs)
        ]
        asked = {"parameters": {**parameters, "binary_data_output": True}, "inputs": inputs}
        head = json.dumps(asked).encode()
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        length, body = self._ask("POST", self.path + "/infer", head + b"".join(blobs), headers)
        answer, at, outputs = json.loads(body[:length]), length, {}
        for output in answer["outputs"]:
            size = output["parameters"]["binary_data_size"]
            blob, at = body[at:at + size], at + size
            outputs[output["name"]] = np.frombuffer(blob, NUMPY[output["datatype"]]).reshape(output["shape"])
        return outputs, answer.get("parameters") or {}

    def _ask(self, method, path, body=None, headers={}):
        """Bytes of JSON, and the whole body. A connection that ended while it was idle is made anew."""
        for last in (False, True):
            connection = getattr(self.local, "connection", None)
            if connection is None:
                connection = self.local.connection = http.client.HTTPConnection(self.address, timeout=SILENCE)
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                answer = response.read()
                break
            except (OSError, http.client.HTTPException) as problem:
                connection.close()
                if last or isinstance(problem, TimeoutError):
                    raise Refused(503, f"edgecut serve at {self.address}: {problem}") from problem
        if response.status != 200:
            raise Refused(response.status, json.loads(answer)["error"])
        return int(response.headers.get("Inference-Header-Content-Length") or len(answer)), answer
