"""Compares a model, its export by edgecut and edgecut's output in ONNX Runtime.

Arguments: original.onnx exported.onnx FOLDER SHAPE TOLERANCE. FOLDER holds input.f32 and
output.f32, raw little-endian float32; SHAPE is the input's, as 2,3,224,224. Fails where the checker
refuses the export, where the two files differ by more than TOLERANCE in ONNX Runtime (0: not in one
bit), or where edgecut's output is further than 1e-3 from it.
"""

import sys

import numpy as np
import onnx
import onnxruntime as ort


def run(path, x):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


def main():
    original, exported, folder, shape, tolerance = sys.argv[1:]
    shape = [int(n) for n in shape.split(",")]
    x = np.fromfile(f"{folder}/input.f32", dtype="<f4").reshape(shape)
    ours = np.fromfile(f"{folder}/output.f32", dtype="<f4")
    onnx.checker.check_model(exported, full_check=True)
    before, after = run(original, x), run(exported, x)
    for a, b in zip(before, after, strict=True):
        if a.shape != b.shape or not np.abs(a - b).max() <= float(tolerance):
            sys.exit(f"the export differs: {a.shape}, {b.shape}, {np.abs(a - b).max()}")
    difference = float(np.abs(before[0].ravel() - ours).max())
    print(f"largest difference {difference:.3g}, largest output {np.abs(before[0]).max():.3g}")
    if not difference <= 1e-3:
        sys.exit("the reference interpreter differs from ONNX Runtime")


main()
