"""Runs a model in LiteRT's reference kernels and saves every tensor that it computes.

Reads model.npy (the bytes of the file) and every input xI.npy in NCHW order; saves names.npy (UTF-8,
one name a line) and tI.npy for the tensor in line I, those of rank 4 in NCHW order.
"""

import sys

import numpy as np
from ai_edge_litert import interpreter as litert


def to_nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def main():
    runner = litert.Interpreter(
        model_content=np.load("model.npy").tobytes(),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    inputs = []
    for i, entry in enumerate(runner.get_input_details()):
        x = np.load(f"x{i}.npy")
        x = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
        if list(entry["shape"]) != list(x.shape):
            runner.resize_tensor_input(entry["index"], x.shape, strict=True)
        inputs.append((entry["index"], x))
    runner.allocate_tensors()
    for index, x in inputs:
        runner.set_tensor(index, x)
    runner.invoke()
    names = []
    for entry in runner.get_tensor_details():
        try:
            value = runner.get_tensor(entry["index"])
        except ValueError:
            continue
        if entry["name"] and value.dtype in (np.uint8, np.int8, np.float32, np.int32, np.int64):
            np.save(f"t{len(names)}.npy", to_nchw(value))
            names.append(entry["name"])
    np.save("names.npy", np.frombuffer("\n".join(names).encode(), np.uint8))


main()
