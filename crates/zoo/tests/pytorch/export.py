"""Writes seeded weights, an input, logits and counts of the networks named as arguments into the
folder that is the first argument. Follows references.py in one script."""
import os
import sys

import numpy as np
import safetensors.torch

tv = torchvision.models


def small_mobilenet_v2():
    rows = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2]]
    net = tv.mobilenet_v2(num_classes=10, inverted_residual_setting=rows + [[6, 320, 1, 1]])
    net.features[0][0].stride = (1, 1)
    return net


NETS = {
    "lenet-5": lambda: LeNet5(),
    "mobilenet-v1": lambda: MobileNetV1(),
    "mobilenet-v2": lambda: tv.mobilenet_v2(),
    "mobilenet-v2-s32": lambda: small_mobilenet_v2(),
    "mobilenet-v3-small": lambda: tv.mobilenet_v3_small(),
    "mobilenet-v3-large": lambda: tv.mobilenet_v3_large(),
    "mobilenet-v3-small-minimal": lambda: MobileNetV3Minimal(MobileNetV3Minimal.SMALL, 576, 1024),
    "mobilenet-v3-large-minimal": lambda: MobileNetV3Minimal(MobileNetV3Minimal.LARGE, 960, 1280),
    **{f"shufflenet-v1-g{g}": (lambda g=g: ShuffleNetV1(g)) for g in (1, 2, 3, 4, 8)},
    "shufflenet-v2-0.5": lambda: tv.shufflenet_v2_x0_5(),
    "shufflenet-v2-1.0": lambda: tv.shufflenet_v2_x1_0(),
    "shufflenet-v2-1.5": lambda: tv.shufflenet_v2_x1_5(),
    "shufflenet-v2-2.0": lambda: tv.shufflenet_v2_x2_0(),
    "squeezenet-1.0": lambda: tv.squeezenet1_0(),
    "squeezenet-1.1": lambda: tv.squeezenet1_1(),
    "squeezenet-1.0-bypass": lambda: SqueezeNetBypass("1_0"),
    "squeezenet-1.1-bypass": lambda: SqueezeNetBypass("1_1"),
    "efficientnet-lite0": lambda: EfficientNetLite(1.0, 1.0),
    "efficientnet-lite1": lambda: EfficientNetLite(1.0, 1.1),
    "efficientnet-lite2": lambda: EfficientNetLite(1.1, 1.2),
    "efficientnet-lite3": lambda: EfficientNetLite(1.2, 1.4),
    "efficientnet-lite4": lambda: EfficientNetLite(1.4, 1.8),
    "resnet-8": lambda: ResNetCifar(1, tiny=True),
    "resnet-20": lambda: ResNetCifar(3),
    "resnet-56": lambda: ResNetCifar(9),
    "resnet-18": lambda: tv.resnet18(),
    "resnet-50": lambda: tv.resnet50(),
    "ds-cnn-s": lambda: DsCnn(64, (2, 2), 4, 1),
    "ds-cnn-m": lambda: DsCnn(172, (2, 1), 4, 2),
    "ds-cnn-l": lambda: DsCnn(276, (2, 1), 5, 2),
}


def randomise(net, picture, generator):
    """Scales, biases and statistics away from 0 and 1, so that none can be taken for another. The
    statistics begin as those of `picture`, so that a signal reaches the logits through every
    layer instead of dying out or growing."""
    uniform = lambda like, low, high: torch.empty_like(like).uniform_(low, high, generator=generator)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data = uniform(module.weight, 0.8, 1.2)
            module.bias.data = uniform(module.bias, -0.2, 0.2)
            module.momentum = 1.0  # take the statistics of the next batch
            module.train()
        elif isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            module.bias.data = uniform(module.bias, -0.1, 0.1)
    with torch.no_grad():
        net(picture)
    for module in norms:
        module.eval()
        # One picture of noise varies little around its mean: the difference would lose digits.
        module.running_var += 0.1 * module.running_mean**2
        module.running_mean += uniform(module.running_mean, -0.1, 0.1) * module.running_var.sqrt()
        module.running_var *= uniform(module.running_var, 0.8, 1.2)


def count_macs(net, x):
    """Multiply-adds of convolutions and linear layers, by hooks."""
    total = 0

    def hook(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    hooks = [
        m.register_forward_hook(hook) for m in net.modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    ]
    y = net(x)
    for h in hooks:
        h.remove()
    return total, y


def save(net, path, kind):
    if kind == "safetensors":
        safetensors.torch.save_file(net.state_dict(), path)
    elif kind == "legacy":
        torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    else:
        # As a training script does: beside other things, from several devices.
        wrapped = nn.DataParallel(net).state_dict()
        torch.save({"epoch": 3, "best": torch.tensor(0.5), "state_dict": wrapped}, path)


torch.set_num_threads(1)  # barriers between threads stall on a busy machine
folder = sys.argv[1]
for number, name in enumerate(sys.argv[2:]):
    name, channels, height, width = name.split(":")
    torch.manual_seed(number)
    generator = torch.Generator().manual_seed(number)
    net = NETS[name]().eval()
    x = torch.randn((1, int(channels), int(height), int(width)), generator=generator)
    randomise(net, x, generator)
    with torch.no_grad():
        macs, logits = count_macs(net, x)
    parameters = sum(p.numel() for p in net.parameters())
    save(net, os.path.join(folder, name), ["safetensors", "legacy", "zip"][number % 3])
    np.save(f"{name}.input.npy", x.numpy())
    np.save(f"{name}.logits.npy", logits.numpy())
    np.save(f"{name}.counts.npy", np.array([parameters, macs], np.int64))
