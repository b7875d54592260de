"""An ONNX model as PyTorch's own functions with trainable parameters, in channels_last, PyTorch's
faster format on CPUs. Knows the operators of the zoo's networks."""

import sys

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F


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


class OnnxNet:
    """`net(x)` runs the model; `net.parameters` has its parameters by name, `net.constants` the rest,
    BatchNorm's statistics among it, which move while `net.training`."""

    def __init__(self, path):
        self.graph = onnx.load(path).graph
        self.constants = {}
        for tensor in self.graph.initializer:
            self.constants[tensor.name] = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        for node in self.graph.node:
            if node.op_type == "Constant":
                value = numpy_helper.to_array(node.attribute[0].t).copy()
                self.constants[node.output[0]] = torch.from_numpy(value)
        self.parameters = {}
        self.training = True
        for node in self.graph.node:
            places = {"Conv": (1, 2), "Gemm": (1, 2), "BatchNormalization": (1, 2)}.get(node.op_type, ())
            for name in (node.input[i] for i in places if i < len(node.input) and node.input[i]):
                self.add_parameter(name)

    def add_parameter(self, name):
        if name not in self.parameters:
            value = self.constants[name]
            if value.dim() == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            self.parameters[name] = value.requires_grad_()

    def shape(self):
        """Of the input, the batch included."""
        return [d.dim_value for d in self.graph.input[0].type.tensor_type.shape.dim]

    def conv(self, node, a, x):
        pads, stride = window(a)
        x, pads = padded(x, pads)
        bias = self.parameters[node.input[2]] if len(node.input) > 2 and node.input[2] else None
        dilation = tuple(a.get("dilations", [1, 1]))
        weight = self.parameters[node.input[1]]
        return F.conv2d(x, weight, bias, stride, pads, dilation, a.get("group", 1))

    def batch_norm(self, node, a, x):
        scale, bias = self.parameters[node.input[1]], self.parameters[node.input[2]]
        mean, variance = self.constants[node.input[3]], self.constants[node.input[4]]
        epsilon = a.get("epsilon", 1e-5)
        return F.batch_norm(x, mean, variance, scale, bias, self.training, 0.1, epsilon)

    def max_pool(self, node, a, x):
        pads, stride = window(a)
        x, pads = padded(x, pads, -np.inf)
        return F.max_pool2d(x, a["kernel_shape"], stride, pads, ceil_mode=bool(a.get("ceil_mode", 0)))

    def clip(self, node, a, values):
        bounds = [values.get(n, self.constants.get(n)) if n else None for n in node.input[1:]]
        low, high = ([float(b) if b is not None else None for b in bounds] + [None, None])[:2]
        x = values[node.input[0]]
        # PyTorch's networks use the functions that it has fast.
        if low == 0.0 and high == 6.0:
            return F.relu6(x)
        return torch.clamp(x, low, high)

    def __call__(self, x):
        values = {self.graph.input[0].name: x}
        for node in self.graph.node:
            results = self.node(node, attributes(node), values)
            values.update(zip(node.output, results))
        return values[self.graph.output[0].name]

    def node(self, node, a, values):
        """The outputs of one node."""
        op = node.op_type
        first = values.get(node.input[0]) if node.input else None
        if op == "Constant":
            return []
        if op == "Conv":
            return [self.conv(node, a, first)]
        if op == "BatchNormalization":
            return [self.batch_norm(node, a, first)]
        if op == "Clip":
            return [self.clip(node, a, values)]
        if op == "Relu":
            return [F.relu(first)]
        if op == "Add":
            return [first + values[node.input[1]]]
        if op == "MaxPool":
            return [self.max_pool(node, a, first)]
        if op == "GlobalAveragePool":
            return [first.mean((2, 3), keepdim=True)]
        if op == "ReduceMean":
            return [first.mean((2, 3), keepdim=bool(a.get("keepdims", 1)))]
        if op == "Flatten":
            return [first.flatten(1)]
        if op == "Gemm":
            weight = self.parameters[node.input[1]]
            weight = weight if a.get("transB", 0) else weight.t()
            return [F.linear(first, weight, self.parameters[node.input[2]])]
        if op == "Concat":
            return [torch.cat([values[n] for n in node.input], a["axis"])]
        if op == "Split":
            axis = a.get("axis", 0)
            given = self.constants[node.input[1]].tolist() if len(node.input) > 1 else None
            return torch.split(first, given or first.shape[axis] // len(node.output), axis)
        if op == "Slice":
            starts, ends, axes = [self.constants[n].tolist() for n in node.input[1:4]]
            steps = self.constants[node.input[4]].tolist() if len(node.input) > 4 else [1] * len(axes)
            index = [slice(None)] * first.dim()
            for start, end, axis, step in zip(starts, ends, axes, steps):
                index[axis] = slice(start, end, step)
            return [first[tuple(index)]]
        if op == "Pad":
            pads = self.constants[node.input[1]].tolist()
            sides = zip(pads[: first.dim()], pads[first.dim() :])
            return [F.pad(first, [n for pair in reversed(list(sides)) for n in pair])]
        if op == "Reshape":
            shape = self.constants[node.input[1]].tolist()
            return [first.reshape([first.shape[i] if s == 0 else s for i, s in enumerate(shape)])]
        if op == "Transpose":
            return [first.permute(a["perm"])]
        sys.exit(f"operator {op} has no counterpart here")
