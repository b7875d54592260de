"""Models of torchvision with seeded weights, for `cargo xtask prune-torchvision`.

list         names of all classification models
export NAME  writes model.onnx, for pictures of 224 pixels
run          runs pruned.onnx in ONNX Runtime on a seeded picture
"""

import sys

SIDE = 224


def listed():
    from torchvision import models

    print("\n".join(models.list_models(module=models)))


def export(name):
    import torch
    from torchvision import models

    torch.manual_seed(0)
    # Attention as its own operators: the fused one has no ONNX form.
    torch.backends.mha.set_fastpath_enabled(False)
    # These two draw their weights slowly where nobody says not to.
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model(name, weights=None, **extra).eval()
    picture = torch.zeros(1, 3, SIDE, SIDE)
    arguments = dict(opset_version=17, input_names=["x"], output_names=["y"], dynamo=False)
    with torch.no_grad():
        torch.onnx.export(model, picture, "model.onnx", **arguments)


def run():
    import numpy
    import onnxruntime

    session = onnxruntime.InferenceSession("pruned.onnx")
    picture = numpy.random.default_rng(0).standard_normal((1, 3, SIDE, SIDE), numpy.float32)
    result = session.run(None, {session.get_inputs()[0].name: picture})[0]
    if result.shape != (1, 1000) or not numpy.isfinite(result).all():
        raise SystemExit(f"gives {result.shape}, not 1000 finite logits")
    print("runs")


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    {"list": listed, "export": export, "run": run}[command](*rest)
