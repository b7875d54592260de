"""Trains an ONNX model in PyTorch by the recipe of `edgecut train`, for `cargo xtask train-beside`.

Usage: train_beside.py MODEL.onnx THREADS

Reads a line of JSON, the recipe: epochs, stop (the epoch to stop behind), steps of an epoch, parts
(in which a batch is computed), lr, momentum, weight_decay, warmup_epochs, label_smoothing and
ema_decay. Behind it stand the test pictures and then each batch of training pictures, prepared: a
count n, n labels and [n, h, w, c] numbers, all of 32 bits. Prints a JSON line for each epoch: mean
training loss, accuracy and loss on the test pictures with the averaged weights.
"""

import json
import math
import sys
import time

import numpy as np
import torch
from torch.nn import functional as F

from onnx_net import OnnxNet

path, threads = sys.argv[1], int(sys.argv[2])
recipe = json.loads(sys.stdin.buffer.readline())
torch.set_num_threads(threads)


def pictures(shape):
    """The next pictures and their labels."""
    numbers = lambda kind, n: np.frombuffer(sys.stdin.buffer.read(4 * n), kind)
    count = int(numbers("<u4", 1)[0])
    labels = torch.from_numpy(numbers("<u4", count).astype(np.int64))
    channels, height, width = shape
    x = numbers("<f4", count * channels * height * width).reshape(count, height, width, channels)
    # The order of the elements is that of channels_last.
    return torch.from_numpy(x.copy()).permute(0, 3, 1, 2), labels


def rate(step, warmup, total):
    if step < warmup:
        return recipe["lr"] * (step + 1) / warmup
    return recipe["lr"] * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))


def evaluate(net, average, images, labels):
    """Accuracy and loss with the averaged weights and statistics, which then give way again."""
    state = {**net.parameters, **statistics(net)}
    kept = {name: value.detach().clone() for name, value in state.items()}
    net.training, hits, loss = False, 0, 0.0
    with torch.no_grad():
        for name, value in state.items():
            value.copy_(average[name])
        for i in range(0, len(labels), 500):
            logits, expected = net(images[i : i + 500]), labels[i : i + 500]
            hits += (logits.argmax(1) == expected).sum().item()
            loss += F.cross_entropy(logits, expected, reduction="sum").item()
        for name, value in state.items():
            value.copy_(kept[name])
    net.training = True
    return hits / len(labels), loss / len(labels)


def learn(net, images, labels):
    """Adds up the gradients of the mean loss over a batch, part by part, and returns that loss."""
    mean = 0.0
    for x, y in zip(images.chunk(recipe["parts"]), labels.chunk(recipe["parts"])):
        loss = F.cross_entropy(net(x), y, label_smoothing=recipe["label_smoothing"])
        loss = loss * (len(y) / len(labels))
        loss.backward()
        mean += loss.item()
    return mean


def statistics(net):
    nodes = [n for n in net.graph.node if n.op_type == "BatchNormalization"]
    return {name: net.constants[name] for n in nodes for name in n.input[3:5]}


def main():
    net = OnnxNet(path)
    shape, steps = net.shape()[1:], recipe["steps"]
    test_images, test_labels = pictures(shape)
    warmup, total = round(recipe["warmup_epochs"] * steps), recipe["epochs"] * steps
    # As in edgecut, biases and BatchNorm have no weight decay.
    decayed = [p for p in net.parameters.values() if p.dim() > 1]
    other = [p for p in net.parameters.values() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": recipe["weight_decay"]}, {"params": other}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=recipe["momentum"], nesterov=True)
    average = {n: v.detach().clone() for n, v in {**net.parameters, **statistics(net)}.items()}
    step = 0
    for epoch in range(1, recipe["stop"] + 1):
        began, losses = time.perf_counter(), 0.0
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            losses += learn(net, *pictures(shape))
            for group in optimizer.param_groups:
                group["lr"] = rate(step, warmup, total)
            optimizer.step()
            decay = min(recipe["ema_decay"], (1 + step) / (10 + step))
            with torch.no_grad():
                for name, value in {**net.parameters, **statistics(net)}.items():
                    average[name] += (1 - decay) * (value - average[name])
            step += 1
        accuracy, test_loss = evaluate(net, average, test_images, test_labels)
        said = {"epoch": epoch, "train_loss": losses / steps, "test_accuracy": accuracy}
        said |= {"test_loss": test_loss, "seconds": time.perf_counter() - began}
        print(json.dumps(said), flush=True)


main()
