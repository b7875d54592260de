"""Writes one small net as PyTorch exports it, traced with a batch of unknown size.

Argument: FOLDER, which receives net_OPSET.onnx. The net has what exporters wrap in computations of
shapes: a channel shuffle, padding, a split, a view by batch.
"""

import sys
import warnings

import torch
import torch.nn.functional as F
from torch import nn

OPSETS = [11, 12, 13, 14, 17, 18]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.head = nn.Linear(8 * 4 * 4, 10)
        self.dropout = nn.Dropout(0.2)

    def shuffle(self, x):
        n, c, h, w = x.size()
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, -1, h, w)

    def forward(self, x):
        x = self.shuffle(F.relu6(self.norm(self.conv(x))))
        x = x + F.hardswish(self.depthwise(x))
        a, b = x.chunk(2, 1)
        x = torch.cat([b, a], 1)
        x = F.leaky_relu(F.hardsigmoid(x) * x)
        x = x * torch.sigmoid(x.mean((2, 3), keepdim=True))
        x = F.max_pool2d(F.pad(x, (1, 0, 1, 0)), 3, 2)
        x = F.avg_pool2d(x, 3, 1, padding=1)
        x = x.view(x.size(0), -1)
        return F.softmax(self.head(self.dropout(x)), -1)


def main():
    warnings.filterwarnings("ignore")
    torch.manual_seed(3)
    net = Net().eval()
    for opset in OPSETS:
        torch.onnx.export(
            net,
            (torch.randn(2, 3, 16, 16),),
            f"{sys.argv[1]}/net_{opset}.onnx",
            opset_version=opset,
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "N"}},
            dynamo=False,
        )


main()
