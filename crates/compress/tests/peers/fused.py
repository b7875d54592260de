"""Runs MODEL in ONNX Runtime on x.npy.

Saves y.npy, and float_layers.npy: how many layers still multiply floats after optimisation.
"""

import sys

import numpy as np
import onnx
import onnxruntime

model = sys.argv[1]
onnx.checker.check_model(onnx.load(model), full_check=True)
options = onnxruntime.SessionOptions()
# Level "extended": the last level only changes layouts.
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
options.optimized_model_filepath = "optimised.onnx"
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
x = np.load("x.npy")
name = session.get_inputs()[0].name
batches = [session.run(None, {name: x[i : i + 1]})[0] for i in range(len(x))]
np.save("y.npy", np.concatenate(batches))
kinds = [node.op_type for node in onnx.load("optimised.onnx").graph.node]
print(sorted((kind, kinds.count(kind)) for kind in set(kinds)), file=sys.stderr)
layers = sum(kind in ("Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul") for kind in kinds)
np.save("float_layers.npy", np.array([layers], np.float32))
np.save("adds.npy", np.array([kinds.count("Add")], np.float32))
