"""Trains an ONNX model in PyTorch by the recipe of `edgecut train`, for `cargo xtask train-beside`.

Usage: train_beside.py MODEL.onnx DATA THREADS < RECIPE.json

DATA has train/class/*.jpg and test/class/*.jpg of the input's size. The recipe has epochs, stop (the
epoch to stop behind), batch, parts (in which a batch is computed), lr, momentum, weight_decay,
warmup_epochs, label_smoothing, ema_decay, crop, flip, mean, std and seed. Prints a JSON line for each epoch: mean training loss, accuracy and
loss on the test pictures with the averaged weights.
"""

import json
import math
import pathlib
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from onnx_net import OnnxNet

path, data, threads = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
recipe = json.load(sys.stdin)
torch.set_num_threads(threads)
torch.manual_seed(recipe["seed"])
batch = recipe["batch"]


def pictures(part):
    images, labels = [], []
    for label, folder in enumerate(sorted(p for p in (data / part).iterdir() if p.is_dir())):
        for file in sorted(folder.iterdir()):
            images.append(np.asarray(Image.open(file).convert("RGB")))
            labels.append(label)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def normalised(pixels):
    mean, std = (torch.tensor(recipe[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    x = (pixels.float() / 255 - mean) / std
    return x.contiguous(memory_format=torch.channels_last)


def varied(pixels):
    """Each picture moved by up to `crop` pixels over black and mirrored every second time."""
    n, _, height, width = pixels.shape
    crop = recipe["crop"]
    out = torch.empty_like(pixels)
    wide = F.pad(pixels, (crop,) * 4)
    for i in range(n):
        y, x = torch.randint(0, 2 * crop + 1, (2,)).tolist()
        out[i] = wide[i, :, y : y + height, x : x + width]
    if recipe["flip"]:
        mirrored = torch.rand(n) < 0.5
        out[mirrored] = out[mirrored].flip(3)
    return out


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
            logits, expected = net(normalised(images[i : i + 500])), labels[i : i + 500]
            hits += (logits.argmax(1) == expected).sum().item()
            loss += F.cross_entropy(logits, expected, reduction="sum").item()
        for name, value in state.items():
            value.copy_(kept[name])
    net.training = True
    return hits / len(labels), loss / len(labels)


def learn(net, pixels, labels):
    """Adds up the gradients of the mean loss over a batch, part by part, and returns that loss."""
    mean = 0.0
    for x, y in zip(pixels.chunk(recipe["parts"]), labels.chunk(recipe["parts"])):
        loss = F.cross_entropy(net(normalised(x)), y, label_smoothing=recipe["label_smoothing"])
        loss = loss * (len(y) / len(labels))
        loss.backward()
        mean += loss.item()
    return mean


def statistics(net):
    nodes = [n for n in net.graph.node if n.op_type == "BatchNormalization"]
    return {name: net.constants[name] for n in nodes for name in n.input[3:5]}


def main():
    net = OnnxNet(path)
    (images, labels), (test_images, test_labels) = pictures("train"), pictures("test")
    steps = len(labels) // batch
    warmup, total = round(recipe["warmup_epochs"] * steps), recipe["epochs"] * steps
    # As in edgecut, biases and BatchNorm have no weight decay.
    decayed = [p for p in net.parameters.values() if p.dim() > 1]
    other = [p for p in net.parameters.values() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": recipe["weight_decay"]}, {"params": other}]
    optimizer = torch.optim.SGD(groups, lr=1.0, momentum=recipe["momentum"], nesterov=True)
    average = {n: v.detach().clone() for n, v in {**net.parameters, **statistics(net)}.items()}
    step = 0
    for epoch in range(1, recipe["stop"] + 1):
        began, losses, order = time.perf_counter(), 0.0, torch.randperm(len(labels))
        for i in range(steps):
            drawn = order[i * batch : (i + 1) * batch]
            optimizer.zero_grad(set_to_none=True)
            losses += learn(net, varied(images[drawn]), labels[drawn])
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
