"""Trains torchvision's MobileNetV3-Small (squeeze-excite, hard-swish) on small pictures and exports it,
for `cargo xtask duel-quantize`.

Usage: duel_train.py FOLDER OUT.onnx [EPOCHS [PICTURES]]

FOLDER has a sub-folder of 32x32 pictures for each class. The first convolution keeps their
resolution, the width is 0.5; all else is torchvision's. 12 epochs of 20,000 pictures take some ten
minutes of one core. Inputs are `(x / 255 - mean) / std` with CIFAR-10's statistics, as edgecut's
`--preprocess cifar`.
"""

import os
import pathlib
import sys
import time

import numpy as np
import torch
from PIL import Image
from torch.nn import functional
from torchvision.models import mobilenet_v3_small

folder, out, *rest = sys.argv[1:]
epochs, limit = [int(v) for v in rest] + [12, 20_000][len(rest):]
BATCH = 100
torch.manual_seed(1)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
random = np.random.default_rng(1)

classes = sorted(p for p in pathlib.Path(folder).iterdir() if p.is_dir())
files = [(path, label) for label, c in enumerate(classes) for path in sorted(c.rglob("*.jp*g"))]
files = [files[i] for i in random.permutation(len(files))[:limit]]
pixels = np.stack([np.asarray(Image.open(path).convert("RGB"), np.float32) for path, _ in files])
mean, std = np.float32([0.4914, 0.4822, 0.4465]), np.float32([0.2023, 0.1994, 0.2010])
images = torch.from_numpy(np.moveaxis((pixels / 255 - mean) / std, -1, 1).copy())
labels = torch.tensor([label for _, label in files])

net = mobilenet_v3_small(width_mult=0.5, num_classes=len(classes))
net.features[0][0].stride = (1, 1)
net = net.to(memory_format=torch.channels_last)
steps = epochs * (len(images) // BATCH)
optimiser = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.2, total_steps=steps, pct_start=0.2)


def augmented(batch):
    """A mirror image every second time, and a crop after padding by 3 pixels."""
    batch = torch.where(torch.rand(len(batch), 1, 1, 1) < 0.5, batch, batch.flip(-1))
    top, left = torch.randint(0, 7, (2,)).tolist()
    return functional.pad(batch, (3, 3, 3, 3))[..., top:top + 32, left:left + 32]


began = time.perf_counter()
for epoch in range(epochs):
    correct = 0
    for chosen in torch.randperm(len(images)).split(BATCH):
        if len(chosen) < BATCH:
            continue
        x = augmented(images[chosen]).to(memory_format=torch.channels_last)
        logits = net(x)
        loss = functional.cross_entropy(logits, labels[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        correct += int((logits.argmax(1) == labels[chosen]).sum())
    share = 100 * correct / len(images)
    print(f"epoch {epoch + 1}: {share:.1f} % of its training pictures, "
          f"{time.perf_counter() - began:.0f} s", flush=True)

net = net.eval().to(memory_format=torch.contiguous_format)
unfinished = out + ".tmp"
torch.onnx.export(net, (images[:1],), unfinished, input_names=["input"], output_names=["logits"],
                  dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}}, opset_version=17,
                  do_constant_folding=False, dynamo=False)
os.replace(unfinished, out)
