"""Runs a model in ONNX Runtime on dumped input tensors and compares with edgecut's logits.

Usage: agreement.py MODEL FOLDER, where FOLDER holds inputs.npy [n, c, h, w] and logits.npy
[n, classes] as `edgecut eval --dump FOLDER` wrote them.
"""

import sys

import numpy as np
import onnxruntime

model, folder = sys.argv[1:3]
inputs = np.load(f"{folder}/inputs.npy")
ours = np.load(f"{folder}/logits.npy")
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
theirs = np.concatenate([session.run(None, {name: inputs[i : i + 1]})[0] for i in range(len(inputs))])
theirs = theirs.reshape(ours.shape)
equal = (ours.argmax(1) == theirs.argmax(1)).mean()
print(f"images                     {len(inputs)}")
print(f"same top-1                 {100 * equal:.2f} %")
print(f"largest difference         {np.abs(ours - theirs).max():.3e}")
print(f"largest absolute logit     {np.abs(theirs).max():.3e}")
sys.exit(0 if equal >= 0.995 else 1)
