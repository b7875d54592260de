"""All outputs of a model in ONNX Runtime for x.npy: y0.npy, y1.npy, ..."""
import sys

import numpy as np
import onnxruntime as ort

options = ort.SessionOptions()
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
feed = {session.get_inputs()[0].name: np.load("x.npy")}
for index, y in enumerate(session.run(None, feed)):
    np.save(f"y{index}.npy", y)
