"""Zero-cost proxies of a NAS-Bench-201 network in float64: sys.argv[1:] are its six edges."""
import glob
import sys

import numpy as np
import torch
import torch.nn.functional as F

EDGES = sys.argv[1:]
weights = {f[:-4]: torch.tensor(np.load(f)) for f in glob.glob("*.npy")}
pixels = weights.pop("pixels").permute(0, 3, 1, 2).double()
labels = weights.pop("labels")
weights = {k: v.double().requires_grad_(True) for k, v in weights.items()}


class Net:
    def __init__(self, weights, norm):
        self.w, self.norm, self.codes = weights, norm, []

    def bn(self, x, name):
        if not self.norm:
            return x
        return F.batch_norm(x, None, None, self.w[name + ".weight"], self.w[name + ".bias"], True)

    def relu(self, x):
        self.codes.append((x > 0).flatten(1).detach().double())
        return F.relu(x)

    def rcb(self, x, name, k, stride=1):
        x = F.conv2d(self.relu(x), self.w[name + ".conv.weight"], None, stride, k // 2)
        return self.bn(x, name + ".bn")

    def cell(self, x, name):
        nodes, edges = [x], iter(EDGES)
        for to in range(1, 4):
            total = torch.zeros_like(x)
            for start in range(to):
                edge, source = next(edges), nodes[start]
                if edge == "skip_connect":
                    total = total + source
                elif edge == "avg_pool_3x3":
                    total = total + F.avg_pool2d(source, 3, 1, 1, count_include_pad=False)
                elif edge != "none":
                    k = 3 if edge.endswith("3x3") else 1
                    total = total + self.rcb(source, f"{name}.edge{start}{to}", k)
            nodes.append(total)
        return nodes[3]

    def __call__(self, x):
        x = self.bn(F.conv2d(x, self.w["stem.conv.weight"], None, 1, 1), "stem.bn")
        for stage in range(3):
            if stage:
                name = f"reduction{stage}"
                y = self.rcb(self.rcb(x, name + ".a", 3, 2), name + ".b", 3)
                x = F.conv2d(F.avg_pool2d(x, 2), self.w[name + ".shortcut.weight"]) + y
            for cell in range(5):
                x = self.cell(x, f"stage{stage}.cell{cell}")
        x = self.relu(self.bn(x, "last.bn")).mean((2, 3))
        return F.linear(x, self.w["classifier.weight"], self.w["classifier.bias"])


def is_weight(name):
    return name.endswith(".weight") and ".bn" not in name


def synflow():
    positive = {k: v.detach().abs().requires_grad_(True) for k, v in weights.items()}
    Net(positive, norm=False)(torch.ones_like(pixels[:1])).sum().backward()
    flows = [(v * v.grad).abs().sum() for k, v in positive.items() if is_weight(k) and v.grad is not None]
    return float(torch.log(sum(flows)))


def naswot():
    net = Net(weights, norm=True)
    net(pixels)
    kernel = sum(c @ c.T + (1 - c) @ (1 - c).T for c in net.codes)
    return float(torch.linalg.slogdet(kernel)[1])


def jacob_cov():
    x = pixels.clone().requires_grad_(True)
    Net(weights, norm=True)(x).sum().backward()
    v = np.linalg.eigvalsh(np.corrcoef(x.grad.flatten(1).numpy()))
    return -np.sum(np.log(v + 1e-5) + 1 / (v + 1e-5))


def zico():
    halves = []
    for x, y in zip(pixels.chunk(2), labels.chunk(2)):
        for v in weights.values():
            v.grad = None
        F.cross_entropy(Net(weights, norm=True)(x), y).backward()
        halves.append({k: v.grad.numpy().copy() for k, v in weights.items() if v.grad is not None})
    total = 0.0
    for k in filter(is_weight, halves[0]):
        g = np.stack([half[k] for half in halves])
        deviation = g.std(0)
        there = deviation != 0
        layer = np.sum(np.abs(g).mean(0)[there] / deviation[there])
        total += np.log(layer) if layer > 0 else 0.0
    return total


for name, score in [("synflow", synflow), ("naswot", naswot), ("jacob_cov", jacob_cov), ("zico", zico)]:
    np.save(name + ".npy", np.array([score()], dtype=np.float32))
