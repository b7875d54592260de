"""Prunes an ONNX model by Torch-Pruning's group-norm pruner, for `cargo xtask prune-beside`.

Usage: torch_prune.py MODEL.onnx SHARE OUT.onnx

Removes channels over the whole network, as its benchmark for CIFAR does, in steps of a 400th until at
most SHARE of the multiply-adds are left. Shortcuts that sample and pad, which it cannot prune, become
1x1 convolutions that compute the same. OUT.onnx keeps MODEL's metadata. Prints what is left.
"""

import json
import sys
import warnings

import onnx
import torch
import torch_pruning as tp
from torch import nn

from onnx_net import OnnxNet, attributes, window

STEPS = 400
warnings.filterwarnings("ignore")


class Layers(nn.Module):
    """The model with a module for each layer, as Torch-Pruning wants it."""

    def __init__(self, path):
        super().__init__()
        self.net = OnnxNet(path)
        self.layers, self.sources = nn.ModuleDict(), {}
        self.made_by = {node.output[0]: node for node in self.net.graph.node}
        made = {"Conv": self.conv, "BatchNormalization": self.norm, "Gemm": self.linear}
        for place, node in enumerate(self.net.graph.node):
            self.sources[place] = node.input[0] if node.input else None
            if node.op_type in made:
                self.layers[str(place)] = made[node.op_type](node, attributes(node))
            elif node.op_type == "Pad":
                self.shortcut(place, node)

    def tensor(self, node, place):
        name = node.input[place] if place < len(node.input) else ""
        value = self.net.parameters.get(name, self.net.constants.get(name))
        return None if value is None else value.detach().clone().contiguous()

    def conv(self, node, a):
        weight, bias = self.tensor(node, 1), self.tensor(node, 2)
        pads, stride = window(a)
        if pads[:2] != pads[2:]:
            sys.exit(f"{node.name}: both sides must be padded alike")
        groups, kernel = a.get("group", 1), tuple(weight.shape[2:])
        channels = weight.shape[1] * groups, weight.shape[0]
        layer = nn.Conv2d(*channels, kernel, stride, tuple(pads[:2]), 1, groups, bias is not None)
        return filled(layer, weight=weight, bias=bias)

    def norm(self, node, a):
        scale, bias, mean, variance = (self.tensor(node, place) for place in range(1, 5))
        layer = nn.BatchNorm2d(len(scale), eps=a.get("epsilon", 1e-5))
        return filled(layer, weight=scale, bias=bias, running_mean=mean, running_var=variance)

    def linear(self, node, a):
        weight = self.tensor(node, 1)
        weight = weight if a.get("transB", 0) else weight.t().contiguous()
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        return filled(layer, weight=weight, bias=self.tensor(node, 2))

    def shortcut(self, place, node):
        """A ResNet's shortcut without weights (option A) as a convolution."""
        sample = self.made_by[node.input[0]]
        before, after = self.net.constants[node.input[1]].view(2, 4)[:, 1].tolist()
        conv = next(n for n in self.net.graph.node if n.op_type == "Conv" and n.input[0] == sample.input[0])
        channels = self.net.parameters[conv.input[1]].shape[1]
        weight = torch.zeros(before + channels + after, channels, 1, 1)
        weight[range(before, before + channels), range(channels)] = 1
        layer = nn.Conv2d(channels, len(weight), 1, 2, bias=False)
        self.layers[str(place)] = filled(layer, weight=weight)
        self.sources[place] = sample.input[0]

    def forward(self, x):
        values = {self.net.graph.input[0].name: x}
        for place, node in enumerate(self.net.graph.node):
            if str(place) in self.layers:
                results = [self.layers[str(place)](values[self.sources[place]])]
            else:
                results = self.net.node(node, attributes(node), values)
            values.update(zip(node.output, results))
        return values[self.net.graph.output[0].name]


def filled(layer, **tensors):
    with torch.no_grad():
        for name, value in tensors.items():
            if value is not None:
                getattr(layer, name).copy_(value)
    return layer


def main(path, share, out):
    model = Layers(path).eval()
    x = torch.zeros(1, *model.net.shape()[1:])
    classes = model(x).shape[1]
    heads = [m for m in model.modules() if isinstance(m, nn.Linear) and m.out_features == classes]
    pruner = tp.pruner.GroupNormPruner(
        model,
        x,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        iterative_steps=STEPS,
        pruning_ratio=1.0,
        ignored_layers=heads,
    )
    whole, parameters = tp.utils.count_ops_and_params(model, x)
    left = whole
    while left > share * whole and pruner.current_step < STEPS:
        pruner.step()
        left, parameters = tp.utils.count_ops_and_params(model, x)
    keep = torch.onnx.TrainingMode.PRESERVE  # Folds no BatchNorm.
    arguments = dict(opset_version=17, training=keep, do_constant_folding=False, dynamo=False)
    axes = {"x": {0: "n"}, "y": {0: "n"}}
    with torch.no_grad():
        names = dict(input_names=["x"], output_names=["y"], dynamic_axes=axes)
        torch.onnx.export(model, x, out, **names, **arguments)
    pruned, original = onnx.load(out), onnx.load(path)
    pruned.metadata_props.extend(original.metadata_props)
    onnx.save(pruned, out)
    print(json.dumps({"macs": left / whole, "parameters": parameters}))


main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
