"""Steps of training of an ONNX model in PyTorch, for `cargo xtask bench-train`.

Usage: bench_train.py MODEL.onnx BATCH THREADS

Forward, cross entropy, backward, SGD with Nesterov momentum. Prints a JSON line: the time of every
step in ms, the largest resident memory in KiB, and what of it was there before the network.
"""

import json
import resource
import sys
import time

import torch
from torch.nn import functional as F

from onnx_net import OnnxNet

path, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
STEPS = 20
torch.manual_seed(1)
torch.set_num_threads(threads)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

net = OnnxNet(path)
x = torch.randn(batch, *net.shape()[1:]).contiguous(memory_format=torch.channels_last)
labels = torch.randint(0, net(x).shape[1], (batch,))
parameters = net.parameters.values()
optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=1e-4, nesterov=True)
times = []
for _ in range(STEPS):
    began = time.perf_counter()
    loss = F.cross_entropy(net(x), labels, label_smoothing=0.1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    times.append(1e3 * (time.perf_counter() - began))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(p.numel() for p in parameters)
print(json.dumps({"ms": times, "peak_kib": peak, "before_kib": before, "parameters": count}))
