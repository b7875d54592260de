"""Compares edgecut's outputs for one model with ONNX Runtime or LiteRT; prints one JSON object.

Usage: models.py MODEL FOLDER, where FOLDER holds export.onnx, inputI.npy and outputI.npy (NCHW).
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

model, folder = sys.argv[1], pathlib.Path(sys.argv[2])


def arrays(kind):
    paths = []
    while (path := folder / f"{kind}{len(paths)}.npy").exists():
        paths.append(path)
    return [np.load(path) for path in paths]


inputs, ours = arrays("input"), arrays("output")


def onnx_runtime(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: x for i, x in zip(session.get_inputs(), inputs)})


def litert(path):
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_REF
    net = Interpreter(str(path), experimental_op_resolver_type=kernels)
    net.allocate_tensors()
    last = lambda x: np.moveaxis(x, 1, -1) if x.ndim == 4 else x
    for detail, x in zip(net.get_input_details(), inputs):
        net.set_tensor(detail["index"], np.ascontiguousarray(last(x)))
    net.invoke()
    outputs = [net.get_tensor(d["index"]) for d in net.get_output_details()]
    return [np.moveaxis(y, -1, 1) if y.ndim == 4 else y for y in outputs]


def apart(theirs):
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if b.size == 0:
            continue
        difference = np.abs(a.astype(np.float64).reshape(b.shape) - b.astype(np.float64)).max()
        scale = 1.0 if np.issubdtype(b.dtype, np.integer) else max(np.abs(b).max(), 1e-12)
        worst = max(worst, float(difference / scale))
    return worst


found = {"checker": "ok", "original": None, "export": None}
try:
    onnx.checker.check_model(str(folder / "export.onnx"), full_check=True)
except Exception as error:
    found["checker"] = str(error).splitlines()[0]
found["export"] = apart(onnx_runtime(folder / "export.onnx"))
if model.endswith(".tflite"):
    try:
        found["original"] = apart(litert(model))
    except ImportError:
        pass
else:
    found["original"] = apart(onnx_runtime(model))
print(json.dumps(found))
