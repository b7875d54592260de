"""Networks that torchvision lacks, written from their papers and releases."""
import math

import torch
import torch.nn.functional as F
import torchvision
from torch import nn


class Same(nn.Conv2d):
    """A convolution with TensorFlow's SAME padding."""

    def forward(self, x):
        pads = []
        for axis in (1, 0):  # F.pad begins with the last dimension
            size, kernel, stride = x.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            missing = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


class Half(nn.Conv2d):
    """A convolution with half a window of zeros on each side."""

    def __init__(self, inputs, outputs, kernel, stride=1, groups=1, bias=False):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)


def same(inputs, outputs, kernel, stride=1, groups=1, bias=False):
    return Same(inputs, outputs, kernel, stride, groups=groups, bias=bias)


def divisible(value, divisor=8):
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class Separable(nn.Module):
    """timm's DepthwiseSeparableConv."""

    def __init__(self, conv, inputs, outputs, kernel, stride, act, last, skip, eps=1e-5, bias=False):
        super().__init__()
        self.conv_dw = conv(inputs, inputs, kernel, stride, groups=inputs, bias=bias)
        self.bn1 = nn.BatchNorm2d(inputs, eps)
        self.conv_pw = conv(inputs, outputs, 1, bias=bias)
        self.bn2 = nn.BatchNorm2d(outputs, eps)
        self.act, self.last = act, last
        self.skip = skip and stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.act(self.bn1(self.conv_dw(x)))
        y = self.last(self.bn2(self.conv_pw(y)))
        return x + y if self.skip else y


class Inverted(nn.Module):
    """timm's InvertedResidual."""

    def __init__(self, conv, inputs, hidden, outputs, kernel, stride, act, eps):
        super().__init__()
        self.conv_pw = conv(inputs, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden, eps)
        self.conv_dw = conv(hidden, hidden, kernel, stride, groups=hidden)
        self.bn2 = nn.BatchNorm2d(hidden, eps)
        self.conv_pwl = conv(hidden, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs, eps)
        self.act = act
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.act(self.bn1(self.conv_pw(x)))
        y = self.act(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.skip else y


class MobileNetV1(nn.Module):
    """Table 1 of arXiv:1704.04861."""

    def __init__(self, alpha=1.0):
        super().__init__()
        inputs = int(32 * alpha)
        self.conv_stem, self.bn1 = Half(3, inputs, 3, 2), nn.BatchNorm2d(inputs)
        stages = []
        for outputs, repeats, stride in [(64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2)]:
            stage = []
            for i in range(repeats):
                args = (inputs, int(outputs * alpha), 3, stride if i == 0 else 1)
                stage.append(Separable(Half, *args, F.relu6, F.relu6, skip=False))
                inputs = int(outputs * alpha)
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.classifier = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(x))))
        return self.classifier(x.mean((2, 3)))


class EfficientNetLite(nn.Module):
    """Table 1 of arXiv:1905.11946 without SE and with ReLU6; stem, head, first and last repeats fixed."""

    def __init__(self, width, depth):
        super().__init__()
        eps, act = 1e-3, F.relu6
        self.conv_stem, self.bn1 = same(3, 32, 3, 2), nn.BatchNorm2d(32, eps)
        table = [
            (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3),
            (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1),
        ]
        inputs, stages = 32, []
        for s, (kernel, stride, expansion, outputs, repeats) in enumerate(table):
            outputs = divisible(outputs * width)
            repeats = repeats if s in (0, 6) else math.ceil(repeats * depth)
            stage = []
            for i in range(repeats):
                step = stride if i == 0 else 1
                if expansion == 1:
                    block = Separable(same, inputs, outputs, kernel, step, act, lambda x: x, True, eps)
                else:
                    block = Inverted(same, inputs, inputs * expansion, outputs, kernel, step, act, eps)
                stage.append(block)
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.blocks = nn.Sequential(*stages)
        self.conv_head, self.bn2 = same(inputs, 1280, 1), nn.BatchNorm2d(1280, eps)
        self.classifier = nn.Linear(1280, 1000)

    def forward(self, x):
        x = self.blocks(F.relu6(self.bn1(self.conv_stem(x))))
        x = F.relu6(self.bn2(self.conv_head(x)))
        return self.classifier(x.mean((2, 3)))


class MobileNetV3Minimal(nn.Module):
    """Tables 1 and 2 of arXiv:1905.02244 without SE, hard-swish and 5x5, as released."""

    # Hidden channels, output channels, stride; a list is a stage of one width.
    SMALL = [
        [(16, 16, 2)], [(72, 24, 2), (88, 24, 1)], [(96, 40, 2), (240, 40, 1), (240, 40, 1)],
        [(120, 48, 1), (144, 48, 1)], [(288, 96, 2), (576, 96, 1), (576, 96, 1)],
    ]
    LARGE = [
        [(16, 16, 1)], [(64, 24, 2), (72, 24, 1)], [(72, 40, 2), (120, 40, 1), (120, 40, 1)],
        [(240, 80, 2), (200, 80, 1), (184, 80, 1), (184, 80, 1)], [(480, 112, 1), (672, 112, 1)],
        [(672, 160, 2), (960, 160, 1), (960, 160, 1)],
    ]

    def __init__(self, table, last, head):
        super().__init__()
        eps = 1e-3
        self.conv_stem, self.bn1 = same(3, 16, 3, 2), nn.BatchNorm2d(16, eps)
        inputs, stages = 16, []
        for rows in table:
            stage = []
            for hidden, outputs, stride in rows:
                if hidden == inputs:
                    block = Separable(same, inputs, outputs, 3, stride, F.relu, lambda x: x, True, eps)
                else:
                    block = Inverted(same, inputs, hidden, outputs, 3, stride, F.relu, eps)
                stage.append(block)
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        final = nn.Module()
        final.conv, final.bn1 = same(inputs, last, 1), nn.BatchNorm2d(last, eps)
        final.forward = lambda x: F.relu(final.bn1(final.conv(x)))
        self.blocks = nn.Sequential(*stages, nn.Sequential(final))
        self.conv_head = nn.Conv2d(last, head, 1)
        self.classifier = nn.Linear(head, 1000)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv_stem(x))))
        x = F.relu(self.conv_head(x.mean((2, 3), keepdim=True)))
        return self.classifier(x.flatten(1))


class ShuffleUnit(nn.Module):
    """Figure 2 (b) and (c) of arXiv:1707.01083."""

    def __init__(self, inputs, outputs, groups, first, stride):
        super().__init__()
        hidden = outputs // 4
        own = outputs - inputs if stride == 2 else outputs
        self.conv1 = nn.Conv2d(inputs, hidden, 1, groups=1 if first else groups, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = Half(hidden, hidden, 3, stride, groups=hidden)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, own, 1, groups=groups, bias=False)
        self.bn3 = nn.BatchNorm2d(own)
        self.groups, self.stride = groups, stride

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        n, c, h, w = y.shape
        y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
        y = self.bn3(self.conv3(self.bn2(self.conv2(y))))
        if self.stride == 1:
            return F.relu(x + y)
        return F.relu(torch.cat((F.avg_pool2d(x, 3, 2, 1), y), 1))


class ShuffleNetV1(nn.Module):
    """Table 1 of arXiv:1707.01083."""

    def __init__(self, groups, stem=24, scale=1):
        super().__init__()
        channels = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}[groups] * scale
        self.conv1, self.bn1 = Half(3, stem, 3, 2), nn.BatchNorm2d(stem)
        inputs = stem
        for stage, units in [(2, 4), (3, 8), (4, 4)]:
            outputs = int(channels) << (stage - 2)
            blocks = []
            for unit in range(units):
                first = (stage, unit) == (2, 0)
                blocks.append(ShuffleUnit(inputs, outputs, groups, first, 2 if unit == 0 else 1))
                inputs = outputs
            setattr(self, f"stage{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        x = self.stage4(self.stage3(self.stage2(x)))
        return self.fc(x.mean((2, 3)))


class SqueezeNetBypass(nn.Module):
    """torchvision's SqueezeNet with the simple bypass of arXiv:1602.07360, Figure 2: every second
    fire module is a residual function."""

    def __init__(self, version):
        super().__init__()
        net = torchvision.models.squeezenet.SqueezeNet(version)
        self.features, self.classifier = net.features, net.classifier

    def forward(self, x):
        number = 1
        for layer in self.features:
            fire = type(layer).__name__ == "Fire"
            number += fire
            x = x + layer(x) if fire and number in (3, 5, 7, 9) else layer(x)
        return self.classifier(x).flatten(1)


class BasicBlock(nn.Module):
    """A block of arXiv:1512.03385, section 4.2, whose shortcut is option A; or MLPerf Tiny's."""

    def __init__(self, inputs, outputs, stride, tiny):
        super().__init__()
        conv, eps = (same, 1e-3) if tiny else (Half, 1e-5)
        self.conv1, self.bn1 = conv(inputs, outputs, 3, stride, bias=tiny), nn.BatchNorm2d(outputs, eps)
        self.conv2, self.bn2 = conv(outputs, outputs, 3, bias=tiny), nn.BatchNorm2d(outputs, eps)
        self.added = outputs - inputs
        if tiny and stride == 2:
            self.shortcut = same(inputs, outputs, 1, 2, bias=True)
        elif stride == 2:
            half = self.added // 2
            self.shortcut = lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))
        else:
            self.shortcut = lambda x: x

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNetCifar(nn.Module):
    def __init__(self, blocks, tiny=False):
        super().__init__()
        self.conv1 = same(3, 16, 3, bias=True) if tiny else Half(3, 16, 3)
        self.bn1 = nn.BatchNorm2d(16, 1e-3 if tiny else 1e-5)
        inputs = 16
        for stage, outputs in [(1, 16), (2, 32), (3, 64)]:
            layers = []
            for block in range(blocks):
                stride = 2 if stage > 1 and block == 0 else 1
                layers.append(BasicBlock(inputs, outputs, stride, tiny))
                inputs = outputs
            setattr(self, f"layer{stage}", nn.Sequential(*layers))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean((2, 3)))


class LeNet5(nn.Module):
    """Caffe's examples/mnist/lenet.prototxt."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.ip1, self.ip2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv2(F.max_pool2d(self.conv1(x), 2)), 2)
        return self.ip2(F.relu(self.ip1(x.flatten(1))))


class DsCnn(nn.Module):
    """The DS-CNNs of arXiv:1711.07128 as released: channels, strides, separable convolutions and
    the stride of their first."""

    def __init__(self, channels, strides, blocks, first):
        super().__init__()
        self.conv1 = Same(1, channels, (10, 4), strides)
        self.bn1 = nn.BatchNorm2d(channels, 1e-3)
        make = lambda stride: Separable(
            same, channels, channels, 3, stride, F.relu, F.relu, skip=False, eps=1e-3, bias=True
        )
        self.blocks = nn.Sequential(*[make(first if i == 0 else 1) for i in range(blocks)])
        self.fc = nn.Linear(channels, 12)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))
