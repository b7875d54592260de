"""Decodes every STEP-th image of ARCHIVE (tar.zst of 0000_wnid_name.jpg) for a torchvision model.

Saves images.npy [n, 3, 224, 224] (shorter side to 256, centre crop 224, ImageNet mean and
deviation) and labels.npy [n].
"""

import io
import subprocess
import sys
import tarfile

import numpy as np
from PIL import Image

archive, step = sys.argv[1], int(sys.argv[2])
data = subprocess.run(["zstd", "-dcq", archive], check=True, stdout=subprocess.PIPE).stdout
images, labels = [], []
with tarfile.open(fileobj=io.BytesIO(data)) as tar:
    for member in sorted(tar.getmembers(), key=lambda m: m.name)[::step]:
        if not member.name.endswith(".jpg"):
            continue
        image = Image.open(tar.extractfile(member)).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize([round(side * scale) for side in image.size], Image.BILINEAR)
        left, top = ((side - 224) // 2 for side in image.size)
        pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) / 255
        mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        images.append(((pixels - np.float32(mean)) / np.float32(deviation)).transpose(2, 0, 1))
        labels.append(int(member.name.rsplit("/", 1)[-1].split("_")[0]))
np.save("images.npy", np.stack(images))
np.save("labels.npy", np.array(labels, np.float32))
