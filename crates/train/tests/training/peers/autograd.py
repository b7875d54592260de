"""Gradients of programs by PyTorch; the peer of tests/training/random_nets.rs.

Each argument is a program that computes `out` from `x`; `p(name)` is a parameter of it. Tensors of
program number i are files called i.NAME.npy; its gradients become i.grad.NAME.npy.
"""
import sys

import numpy as np
import torch
from torch.nn import functional as F


def load(name):
    return torch.from_numpy(np.load(name + ".npy"))


labels = load("labels")
for index, program in enumerate(sys.argv[1:]):
    params = {}

    def p(name):
        if name not in params:
            params[name] = load(f"{index}.{name}").double().requires_grad_()
        return params[name]

    scope = {"torch": torch, "F": F, "p": p, "x": load(f"{index}.x").double()}
    exec(program, scope)
    loss = F.cross_entropy(scope["out"], labels, label_smoothing=0.1)
    loss.backward()
    np.save(f"{index}.loss.npy", np.array([loss.item()]))
    for name, value in params.items():
        gradient = value.grad if value.grad is not None else torch.zeros_like(value)
        np.save(f"{index}.grad.{name}.npy", gradient.numpy())
