"""Three steps of SGD on a small inverted-residual net; the peer of tests/training/pytorch.rs."""
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

dtype = getattr(torch, sys.argv[1])
lr, momentum, decay, smoothing = map(float, sys.argv[2:6])


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(8)
        self.expand = nn.Conv2d(8, 24, 1, bias=False)
        self.expand_bn = nn.BatchNorm2d(24)
        self.depthwise = nn.Conv2d(24, 24, 3, 1, 1, groups=24, bias=False)
        self.depthwise_bn = nn.BatchNorm2d(24)
        self.project = nn.Conv2d(24, 8, 1, bias=False)
        self.project_bn = nn.BatchNorm2d(8)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x):
        x = F.relu6(self.stem_bn(self.stem(x)))
        y = F.relu6(self.expand_bn(self.expand(x)))
        y = F.relu6(self.depthwise_bn(self.depthwise(y)))
        x = x + self.project_bn(self.project(y))
        return self.classifier(x.mean((2, 3)))


net = Net().to(dtype).train()
state = net.state_dict()
for name in state:
    if "num_batches" not in name:
        state[name] = torch.from_numpy(np.load(name + ".npy")).to(dtype)
net.load_state_dict(state)
x = torch.from_numpy(np.load("x.npy")).to(dtype)
labels = torch.from_numpy(np.load("labels.npy"))
weights = [p for p in net.parameters() if p.dim() > 1]
others = [p for p in net.parameters() if p.dim() == 1]
groups = [{"params": weights, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=True)
losses = []
for step in range(x.shape[0]):
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x[step]), labels[step], label_smoothing=smoothing)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
    if step == 0 or step + 1 == x.shape[0]:
        tag = "first." if step == 0 else "last."
        for name, value in net.state_dict().items():
            if "num_batches" not in name:
                np.save(tag + name + ".npy", value.detach().numpy().astype(np.float64))
np.save("losses.npy", np.array(losses))
