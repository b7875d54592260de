"""Runs a model in LiteRT: `reference` kernels, or those that a device would use (`default`).

Reads model.npy (the bytes of the file) and every input xI.npy, those of rank 4 in NCHW order; saves
outputs yI.npy, those of rank 4 in NCHW order.
"""

import sys

import numpy as np
from ai_edge_litert import interpreter as litert

RESOLVERS = {
    "reference": litert.OpResolverType.BUILTIN_REF,
    "default": litert.OpResolverType.AUTO,
}


def main():
    runner = litert.Interpreter(
        model_content=np.load("model.npy").tobytes(),
        experimental_op_resolver_type=RESOLVERS[sys.argv[1]],
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
    for i, entry in enumerate(runner.get_output_details()):
        y = runner.get_tensor(entry["index"])
        y = y.transpose(0, 3, 1, 2) if y.ndim == 4 else y
        np.save(f"y{i}.npy", np.ascontiguousarray(y))


main()
