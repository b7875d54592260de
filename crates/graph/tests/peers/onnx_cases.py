"""Checks and runs many small models.

Argument: their number. For each I: mI.npy is the ONNX file's bytes, xI_J.npy its inputs in order.
Writes yI_J.npy for each output, or, where ONNX Runtime has no kernel for a type or attribute,
missingI.npy with the bytes of what it says. Fails where a model is not valid.
"""

import sys

import numpy as np
import onnx
import onnxruntime as ort

options = ort.SessionOptions()
options.log_severity_level = 4
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
options.intra_op_num_threads = 1

for i in range(int(sys.argv[1])):
    content = np.load(f"m{i}.npy").tobytes()
    try:
        onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    except Exception as error:
        raise SystemExit(f"model {i}: {error}")
    try:
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        names = [x.name for x in session.get_inputs()]
        inputs = {name: np.load(f"x{i}_{j}.npy") for j, name in enumerate(names)}
        outputs = session.run(None, inputs)
    except Exception as error:
        np.save(f"missing{i}.npy", np.frombuffer(str(error).encode(), np.uint8))
        continue
    for j, output in enumerate(outputs):
        np.save(f"y{i}_{j}.npy", np.ascontiguousarray(output).reshape(output.shape))
