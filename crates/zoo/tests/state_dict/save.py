"""Saves the same tensors in every way that torch knows into the folder that is the argument, and as
arrays in the working folder."""
import os
import sys
from collections import OrderedDict

import numpy as np
import safetensors.torch
import torch
from torch import nn

generator = torch.Generator().manual_seed(3)
base = torch.randn(4, 6, generator=generator)
tensors = OrderedDict(
    plain=base.clone(),
    transposed=base.t(),
    part=base[1:3, ::2],
    shared=base[2],
    expanded=torch.randn(1, 3, generator=generator).expand(5, 3),
    channels_last=torch.randn(2, 3, 4, 5, generator=generator).to(memory_format=torch.channels_last),
    f16=torch.randn(7, generator=generator).half(),
    bf16=torch.randn(7, generator=generator).bfloat16(),
    f64=torch.randn(7, generator=generator).double(),
    scalar=torch.tensor(2.5),
    empty=torch.zeros(0, 3),
    bytes=torch.tensor([0, 255], dtype=torch.uint8),
    counter=torch.tensor(12345678901),
    flags=torch.tensor([True, False]),
    parameter=nn.Parameter(torch.randn(3, generator=generator)),
)
for name, tensor in tensors.items():
    tensor = tensor.detach()
    array = tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
    np.save(f"{name}.npy", np.array(array, order="C"))

folder = sys.argv[1]
path = lambda name: os.path.join(folder, name)
for protocol in (2, 3, 4, 5):
    torch.save(tensors, path(f"zip{protocol}.pth"), pickle_protocol=protocol)
    torch.save(
        dict(tensors), path(f"legacy{protocol}.pth"), pickle_protocol=protocol,
        _use_new_zipfile_serialization=False,
    )
dense = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
safetensors.torch.save_file(dense, path("weights.safetensors"), metadata={"format": "pt"})


class Net(nn.Module):
    """The tensors in a module, trained for a step, so that the checkpoint holds all a script saves."""

    def __init__(self):
        super().__init__()
        for name, tensor in tensors.items():
            if isinstance(tensor, nn.Parameter):
                self.register_parameter(name, tensor)
            else:
                self.register_buffer(name, tensor)


net = nn.DataParallel(Net())
optimiser = torch.optim.Adam(net.parameters())
net.module.parameter.sum().backward()
checkpoint = {
    "epoch": 7, "arch": "net", "loss": 0.25, "best": torch.tensor(0.5), "classes": ["a", "b"],
    "device": torch.device("cpu"), "dtype": torch.float32, "shape": torch.Size([1, 2]), "args": {},
    "model": net.state_dict(), "optimizer": optimiser.state_dict(), "missing": None, "set": {1, 2},
    "bytes": b"ab", "big": 1 << 70,
}
torch.save(checkpoint, path("checkpoint.pth"))
torch.save({"state_dict": {f"model.{k}": v for k, v in net.module.state_dict().items()}}, path("lightning.ckpt"))
