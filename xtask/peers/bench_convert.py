"""Converts an ONNX file for the runtimes that do not read it.

Usage: bench_convert.py ncnn MODEL SHAPE OUT     writes OUT.param and OUT.bin
       bench_convert.py mnn MODEL SHAPE OUT      writes OUT
"""

import pathlib
import subprocess
import sys

kind, model, shape, out = sys.argv[1:]
if kind == "ncnn":
    import pnnx

    extents = ",".join(shape.split("x"))
    arguments = [f"inputshape=[{extents}]", "fp16=0", f"ncnnparam={out}.param", f"ncnnbin={out}.bin"]
    # It leaves further files beside the model and in the current folder.
    folder = pathlib.Path(out).parent
    done = subprocess.run([pnnx.EXEC_PATH, model, *arguments], cwd=folder, capture_output=True)
    if done.returncode != 0 or not pathlib.Path(out + ".bin").exists():
        sys.exit((done.stderr or done.stdout).decode(errors="replace")[-500:])
else:
    # The native converter; the package's own scripts would install and use a telemetry client.
    import _tools

    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", out,
                       "--bizCode", "edgecut"])
    if not pathlib.Path(out).exists():
        sys.exit("MNN's converter wrote nothing")
