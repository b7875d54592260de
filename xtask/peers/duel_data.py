"""Pictures for `cargo xtask duel-quantize`: those to calibrate with, those to evaluate on.

Usage: duel_data.py SOURCE PREPROCESS.json CALIBRATE EVALUATE SEED OUT

SOURCE is a folder of JPEG files (or sub-folders of them), CIFAR's binary format (.bin), or IDX
pictures (.gz or not). PREPROCESS is what `edgecut --preprocess FILE.json` takes, its resize `exact`.
The pictures are drawn without replacement by SEED. OUT gets

| file | what |
| --- | --- |
| pictures/train/all/*.png, pictures/test/all/*.png | those to calibrate with, for `edgecut quantize`, and the others, at the input's size |
| calibration.npy, evaluation.npy | the same as inputs, float32 [n, c, h, w], for everybody else |
"""

import gzip
import json
import pathlib
import sys

import numpy as np
from PIL import Image

source, description, calibrate, evaluate, seed, out = sys.argv[1:]
preprocess = json.loads(pathlib.Path(description).read_text())
height, width = preprocess["height"], preprocess["width"]
source, out = pathlib.Path(source), pathlib.Path(out)


def pictures():
    """Indexable pictures, opened when they are asked for."""
    if source.is_dir():
        files = sorted(p for p in source.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
        return len(files), lambda i: Image.open(files[i]).convert("RGB")
    opener = gzip.open if source.suffix == ".gz" else open
    with opener(source, "rb") as file:
        data = file.read()
    if source.suffix == ".bin":
        rows = np.frombuffer(data, np.uint8).reshape(-1, 3073)[:, 1:].reshape(-1, 3, 32, 32)
        return len(rows), lambda i: Image.fromarray(np.ascontiguousarray(np.moveaxis(rows[i], 0, -1)))
    extents = np.frombuffer(data, ">u4", 3, 4)
    rows = np.frombuffer(data, np.uint8, offset=16).reshape(extents)
    return len(rows), lambda i: Image.fromarray(rows[i])


def fitted(picture):
    """At the input's size: the centre where the picture is larger, else stretched."""
    side = min(picture.size)
    if side > max(height, width):
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, top, left + width, top + height))
    return picture.resize((width, height), Image.BILINEAR)


def tensor(picture):
    """[c, h, w], in the arithmetic of edgecut."""
    pixels = np.asarray(picture, np.float32)
    if preprocess["channels"] == "bgr":
        pixels = pixels[..., ::-1]
    pixels = pixels.reshape(height, width, -1)
    mean, std = (np.asarray(preprocess[k], np.float32) for k in ("mean", "std"))
    return np.moveaxis((pixels * np.float32(preprocess["scale"]) - mean) / std, -1, 0)


count, picture = pictures()
order = np.random.default_rng(int(seed)).permutation(count)
calibrate = int(calibrate)
parts = {
    "train": ("calibration", order[:calibrate]),
    "test": ("evaluation", order[calibrate:calibrate + int(evaluate)]),
}
if len(parts["test"][1]) == 0:
    sys.exit(f"{source} has {count} pictures, needs more than {calibrate}")
for part, (name, chosen) in parts.items():
    folder = out / "pictures" / part / "all"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = []
    for number, index in enumerate(chosen):
        image = fitted(picture(int(index)))
        image.save(folder / f"{number:05}.png")
        tensors.append(tensor(image))
    np.save(out / f"{name}.npy", np.stack(tensors))
