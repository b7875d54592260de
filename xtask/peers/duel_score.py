"""Scores int8 models against their float model, for `cargo xtask duel-quantize`.

Usage: duel_score.py FLOAT INPUTS.npy OUT.json FILE...

FILE is an ONNX model, run by ONNX Runtime, or outputs (.bin): for each input all outputs one after
the other, float32, little-endian. OUT gets, for each FILE, whether each input has the float model's
first class (null where the model has no scores of classes) and the sums of squares of which SQNR is
the ratio.
"""

import json
import pathlib
import sys

import numpy as np
import onnxruntime as ort

float_model, inputs, out, *files = sys.argv[1:]
inputs = np.load(inputs)
ort.set_default_logger_severity(3)


def run(path):
    """[n, outputs], and whether the outputs are scores of classes."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows, classes = [], False
    for x in inputs:
        found = session.run(None, {name: x[None]})
        classes = len(found) == 1 and found[0].size == found[0].shape[-1]
        rows.append(np.concatenate([y.ravel() for y in found]).astype(np.float64))
    return np.stack(rows), classes


expected, classes = run(float_model)
scores = {}
for path in files:
    try:
        if path.endswith(".bin"):
            found = np.fromfile(path, "<f4").reshape(len(inputs), -1).astype(np.float64)
        else:
            found, _ = run(path)
        if found.shape != expected.shape:
            raise ValueError(f"outputs are {found.shape}, expected {expected.shape}")
        same = (found.argmax(1) == expected.argmax(1)).tolist() if classes else None
        scores[path] = {
            "same": same,
            "signal": float((expected**2).sum()),
            "noise": float(((found - expected) ** 2).sum()),
        }
    except Exception as error:  # what it is, is the row's note
        scores[path] = {"error": str(error).strip().splitlines()[-1][:300]}
pathlib.Path(out).write_text(json.dumps(scores))
