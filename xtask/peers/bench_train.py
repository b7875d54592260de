"""Steps of training of an ONNX model in PyTorch, for `cargo xtask bench-train`.

Usage: bench_train.py MODEL.onnx BATCH THREADS

The model's nodes become PyTorch's own functions with trainable parameters, in channels_last, PyTorch's
faster format on CPUs: forward, cross entropy, backward, SGD with Nesterov momentum. Prints a JSON line:
the time of every step in ms, the largest resident memory in KiB, and what of it was there before the
network.
"""

import json
import resource
import sys
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F

path, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
STEPS = 20
torch.manual_seed(1)
torch.set_num_threads(threads)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

graph = onnx.load(path).graph
constants = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
for node in graph.node:
    if node.op_type == "Constant":
        constants[node.output[0]] = torch.from_numpy(numpy_helper.to_array(node.attribute[0].t).copy())
parameters = {}


def parameter(name):
    if name not in parameters:
        value = constants[name]
        if value.dim() == 4:
            value = value.contiguous(memory_format=torch.channels_last)
        parameters[name] = value.requires_grad_()
    return parameters[name]


def attributes(node):
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def window(a):
    pads = a.get("pads", [0, 0, 0, 0])
    stride = tuple(a.get("strides", [1, 1]))
    if a.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        sys.exit("padding must be explicit")
    return pads, stride


def padded(x, pads, value=0.0):
    """The input, padded where both sides differ, and the padding that is left for the operator."""
    if pads[:2] == pads[2:]:
        return x, tuple(pads[:2])
    return F.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=value), (0, 0)


def conv(node, a, x):
    pads, stride = window(a)
    x, pads = padded(x, pads)
    bias = parameter(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    dilation = tuple(a.get("dilations", [1, 1]))
    return F.conv2d(x, parameter(node.input[1]), bias, stride, pads, dilation, a.get("group", 1))


def batch_norm(node, a, x):
    scale, bias = parameter(node.input[1]), parameter(node.input[2])
    mean, variance = constants[node.input[3]], constants[node.input[4]]
    return F.batch_norm(x, mean, variance, scale, bias, True, 0.1, a.get("epsilon", 1e-5))


def max_pool(node, a, x):
    pads, stride = window(a)
    x, pads = padded(x, pads, -np.inf)
    return F.max_pool2d(x, a["kernel_shape"], stride, pads, ceil_mode=bool(a.get("ceil_mode", 0)))


def clip(node, a, values):
    bounds = [values.get(n, constants.get(n)) if n else None for n in node.input[1:]]
    low, high = ([float(b) if b is not None else None for b in bounds] + [None, None])[:2]
    x = values[node.input[0]]
    # PyTorch's networks use the functions that it has fast.
    if low == 0.0 and high == 6.0:
        return F.relu6(x)
    return torch.clamp(x, low, high)


def run(x):
    values = {graph.input[0].name: x}
    for node in graph.node:
        a, op = attributes(node), node.op_type
        first = values.get(node.input[0]) if node.input else None
        if op == "Constant":
            continue
        if op == "Conv":
            y = conv(node, a, first)
        elif op == "BatchNormalization":
            y = batch_norm(node, a, first)
        elif op == "Clip":
            y = clip(node, a, values)
        elif op == "Relu":
            y = F.relu(first)
        elif op == "Add":
            y = first + values[node.input[1]]
        elif op == "MaxPool":
            y = max_pool(node, a, first)
        elif op == "GlobalAveragePool":
            y = first.mean((2, 3), keepdim=True)
        elif op == "ReduceMean":
            y = first.mean((2, 3), keepdim=bool(a.get("keepdims", 1)))
        elif op == "Flatten":
            y = first.flatten(1)
        elif op == "Gemm":
            weight = parameter(node.input[1])
            y = F.linear(first, weight if a.get("transB", 0) else weight.t(), parameter(node.input[2]))
        elif op == "Concat":
            y = torch.cat([values[n] for n in node.input], a["axis"])
        elif op == "Split":
            sizes = constants[node.input[1]].tolist() if len(node.input) > 1 else len(node.output)
            axis = a.get("axis", 0)
            if isinstance(sizes, int):
                sizes = first.shape[axis] // sizes
            for name, part in zip(node.output, torch.split(first, sizes, axis)):
                values[name] = part
            continue
        elif op == "Slice":
            starts, ends, axes = [constants[n].tolist() for n in node.input[1:4]]
            y = first
            for start, end, axis in zip(starts, ends, axes):
                y = y.narrow(axis, start, min(end, y.shape[axis]) - start)
        elif op == "Reshape":
            shape = constants[node.input[1]].tolist()
            y = first.reshape([first.shape[i] if s == 0 else s for i, s in enumerate(shape)])
        elif op == "Transpose":
            y = first.permute(a["perm"])
        else:
            sys.exit(f"operator {op} has no counterpart here")
        values[node.output[0]] = y
    return values[graph.output[0].name]


shape = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
x = torch.randn(batch, *shape[1:]).contiguous(memory_format=torch.channels_last)
logits = run(x)
labels = torch.randint(0, logits.shape[1], (batch,))
optimizer = torch.optim.SGD(parameters.values(), lr=1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True)
times = []
for _ in range(STEPS):
    began = time.perf_counter()
    loss = F.cross_entropy(run(x), labels, label_smoothing=0.1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    times.append(1e3 * (time.perf_counter() - began))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(p.numel() for p in parameters.values())
print(json.dumps({"ms": times, "peak_kib": peak, "before_kib": before, "parameters": count}))
