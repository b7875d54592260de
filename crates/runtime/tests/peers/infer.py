"""Runs MODEL (an ONNX file) in ONNX Runtime on x.npy, image by image, and saves y.npy."""

import sys

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
x = np.load("x.npy")
np.save("y.npy", np.concatenate([session.run(None, {name: x[i : i + 1]})[0] for i in range(len(x))]))
