"""Runs models in LiteRT: `reference` or `optimised` kernels, or what a device would use (`default`).

Reads for model I mI.npy (the bytes of the file) and every input xI_J.npy, those of rank 4 in NCHW
order; saves outputs yI_J.npy, those of rank 4 in NCHW order, or eI.npy, why it does not run.
"""

import itertools
import os
import sys

import numpy as np
from ai_edge_litert import interpreter as litert

RESOLVERS = {
    "reference": litert.OpResolverType.BUILTIN_REF,
    "optimised": litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "default": litert.OpResolverType.AUTO,
}


def run(i, kind):
    runner = litert.Interpreter(
        model_content=np.load(f"m{i}.npy").tobytes(), experimental_op_resolver_type=kind)
    inputs = []
    for j, entry in enumerate(runner.get_input_details()):
        x = np.load(f"x{i}_{j}.npy")
        x = x.transpose(0, 2, 3, 1) if x.ndim == 4 else x
        if list(entry["shape"]) != list(x.shape):
            runner.resize_tensor_input(entry["index"], x.shape, strict=True)
        inputs.append((entry["index"], x))
    runner.allocate_tensors()
    for index, x in inputs:
        runner.set_tensor(index, x)
    runner.invoke()
    for j, entry in enumerate(runner.get_output_details()):
        y = runner.get_tensor(entry["index"])
        y = y.transpose(0, 3, 1, 2) if y.ndim == 4 else y
        np.save(f"y{i}_{j}.npy", np.array(y, order="C"))


def attempt(i):
    try:
        try:
            run(i, RESOLVERS[sys.argv[1]])
        except ValueError as error:
            # A few operators have no separate reference kernel.
            if "Didn't find op" not in str(error):
                raise
            run(i, litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    except (RuntimeError, ValueError) as error:
        fail(i, str(error))


def fail(i, why):
    np.save(f"e{i}.npy", np.frombuffer(why.encode(), np.uint8))


def main():
    for i in itertools.takewhile(lambda i: os.path.exists(f"m{i}.npy"), itertools.count()):
        # A process each, as LiteRT crashes on some models that it should refuse.
        child = os.fork()
        if child == 0:
            attempt(i)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if status != 0:
            fail(i, f"LiteRT ended with status {status}")


main()
