"""Writes the seeds of the fuzz targets `onnx` (also those of `execute`), `state_dict` and `npy`, and the dictionary.

Usage: seeds.py, with onnx, numpy, torch and safetensors. Seeds are small models of one idea each; the
fuzzer combines them. Those of `tflite` are the ONNX seeds that `edgecut convert` can write.
"""

import pathlib
import string

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(0)
F, I, U8, S8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8, TensorProto.INT8
IMAGE = [1, 4, 6, 6]


def weights(*shape):
    return rng.normal(size=shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def save(folder, name, nodes, constants=(), inputs=(("x", F, IMAGE),), outputs=(("y", F),), opset=17):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        name,
        [info(*i) for i in inputs],
        [info(name, kind, None) for name, kind in outputs],
        [numpy_helper.from_array(a, n) for n, a in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    (here / "corpus" / folder / name).write_bytes(model.SerializeToString())


def node(op, inputs="x", output="y", **attributes):
    return helper.make_node(op, inputs.split(), output.split(), **attributes)


SCALES = {"s": np.float32(0.05), "z": np.uint8(128), "ws": np.float32(0.02), "wz": np.int8(0)}

# name: (nodes, constants, further arguments of `save`)
MODELS = {
    "conv": ([node("Conv", "x w b", pads=[1, 1, 1, 1], strides=[2, 2])], {"w": weights(8, 4, 3, 3), "b": weights(8)}, {}),
    "depthwise": ([node("Conv", "x w", group=4, auto_pad="SAME_UPPER")], {"w": weights(4, 1, 3, 3)}, {}),
    "transposed": ([node("ConvTranspose", "x w", strides=[2, 2], output_padding=[1, 1])], {"w": weights(4, 3, 2, 2)}, {}),
    "norm": ([node("BatchNormalization", "x a b m v")], {k: np.abs(weights(4)) for k in "abmv"}, {}),
    "pools": (
        [
            node("MaxPool", "x", "p", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
            node("AveragePool", "p", "q", kernel_shape=[2, 2], count_include_pad=1, pads=[1, 0, 0, 1]),
            node("GlobalAveragePool", "q", "y"),
        ],
        {},
        {},
    ),
    "head": ([node("Flatten", "x", "f"), node("Gemm", "f w b", "g", transB=1), node("Softmax", "g", axis=1)], {"w": weights(5, 144), "b": weights(5)}, {}),
    "matmul": ([node("MatMul", "x w")], {"w": weights(6, 3)}, {}),
    "hard_swish": (
        [node("Add", "x three", "a"), node("Clip", "a zero six", "c"), node("Mul", "x c", "m"), node("Div", "m six")],
        {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)},
        {},
    ),
    "squeeze_excite": (
        [
            node("ReduceMean", "x", "p", axes=[2, 3], keepdims=1),
            node("Conv", "p w", "c"),
            node("HardSigmoid", "c", "h", alpha=1 / 6, beta=0.5),
            node("Mul", "x h"),
        ],
        {"w": weights(4, 4, 1, 1)},
        {},
    ),
    "shuffle": (
        [node("Reshape", "x to", "r"), node("Transpose", "r", "t", perm=[0, 2, 1, 3, 4]), node("Reshape", "t back")],
        {"to": ints(1, 2, 2, 6, 6), "back": ints(1, 4, 6, 6)},
        {},
    ),
    "shapes": (
        [
            node("Shape", "x", "s"),
            node("Gather", "s zero", "n"),
            node("Unsqueeze", "n axis", "u"),
            node("Concat", "u rest", "t", axis=0),
            node("Reshape", "x t"),
        ],
        {"zero": np.int64(0), "axis": ints(0), "rest": ints(-1)},
        {"inputs": (("x", F, ["n", 4, 6, 6]),)},
    ),
    "split": (
        [node("Split", "x", "a b", axis=1), node("Slice", "a from to axes steps", "c"), node("Concat", "b c", axis=2)],
        {"from": ints(0), "to": ints(6), "axes": ints(2), "steps": ints(2)},
        {},
    ),
    "resize": (
        [node("Resize", "x _ scales", mode="linear", coordinate_transformation_mode="half_pixel")],
        {"scales": np.array([1, 1, 2, 1.5], np.float32), "_": np.array([], np.float32)},
        {},
    ),
    "layer_norm": ([node("LayerNormalization", "x a b", axis=-1)], {"a": weights(6), "b": weights(6)}, {}),
    "layer_norm_parts": (
        [
            node("ReduceMean", "x", "m", axes=[-1]),
            node("Sub", "x m", "d"),
            node("Pow", "d two", "q"),
            node("ReduceMean", "q", "v", axes=[-1]),
            node("Add", "v e", "w"),
            node("Sqrt", "w", "r"),
            node("Div", "d r"),
        ],
        {"two": np.float32(2), "e": np.float32(1e-5)},
        {},
    ),
    "indices": (
        [node("TopK", "x k", "v i", axis=1), node("GatherElements", "x i", "g", axis=1), node("ReduceMax", "g", "y")],
        {"k": ints(2)},
        {},
    ),
    "scatter": ([node("ScatterND", "x at u")], {"at": ints(0).reshape(1, 1), "u": weights(1, 4, 6, 6)}, {}),
    "logic": (
        [node("Greater", "x zero", "c"), node("Not", "c", "n"), node("Where", "n x zero")],
        {"zero": np.float32(0)},
        {},
    ),
    "casts": ([node("Cast", "x", "i", to=I), node("Mod", "i three", "m"), node("Cast", "m", to=F)], {"three": np.int64(3)}, {}),
    "pad": ([node("Pad", "x pads", mode="reflect")], {"pads": ints(0, 0, 1, 1, 0, 0, 1, 1)}, {}),
    "depth": ([node("DepthToSpace", "x", "d", blocksize=2, mode="CRD"), node("SpaceToDepth", "d", blocksize=2)], {}, {}),
    "qdq": (
        [
            node("QuantizeLinear", "x s z", "q"),
            node("DequantizeLinear", "q s z", "d"),
            node("DequantizeLinear", "w ws wz", "v", axis=0),
            node("Conv", "d v", "c"),
            node("Relu", "c", "r"),
            node("QuantizeLinear", "r s z", "o"),
            node("DequantizeLinear", "o s z"),
        ],
        SCALES | {"w": rng.integers(-127, 127, (4, 4, 1, 1)).astype(np.int8), "ws": np.full(4, 0.02, np.float32), "wz": np.zeros(4, np.int8)},
        {},
    ),
    "qlinear_conv": (
        [node("QuantizeLinear", "x s z", "q"), node("QLinearConv", "q s z w ws wz s z", "o"), node("DequantizeLinear", "o s z")],
        SCALES | {"w": rng.integers(-127, 127, (4, 4, 1, 1)).astype(np.int8)},
        {},
    ),
    "qlinear_add": (
        [
            node("QuantizeLinear", "x s z", "q"),
            node("QLinearAdd", "q s z q s z s z", "o", domain="com.microsoft"),
            node("DequantizeLinear", "o s z"),
        ],
        SCALES,
        {},
    ),
    "dynamic": (
        [
            node("DynamicQuantizeLinear", "x", "q s z"),
            node("ConvInteger", "q w z", "c"),
            node("Cast", "c", "f", to=F),
            node("Mul", "f s"),
        ],
        {"w": rng.integers(0, 255, (4, 4, 1, 1)).astype(np.uint8)},
        {},
    ),
    "old_opset": (
        [node("Clip", "x", "c", min=0.0, max=6.0), node("Upsample", "c scales", "u", mode="nearest"), node("Pad", "u", pads=[0] * 4 + [0, 0, 1, 1])],
        {"scales": np.array([1, 1, 2, 2], np.float32)},
        {"opset": 9},
    ),
}


def write_models():
    for name, (nodes, constants, more) in MODELS.items():
        save("onnx", name, nodes, constants, **more)


def write_state_dicts():
    import safetensors.torch
    import torch

    folder = here / "corpus/state_dict"
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.BatchNorm2d(2))
    shared = torch.arange(12.0)
    state = net.state_dict() | {"view": shared.reshape(3, 4).t(), "tail": shared[6:]}
    torch.save(state, folder / "zip.pth")
    torch.save({"model": {f"module.{k}": v.half() for k, v in state.items()}}, folder / "nested.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(net, folder / "whole_module.pth")
    plain = {k: v.contiguous().clone() for k, v in state.items()}
    safetensors.torch.save_file(plain, folder / "plain.safetensors")


def write_arrays():
    folder = here / "corpus/npy"
    np.save(folder / "f4.npy", np.arange(6, dtype="<f4").reshape(2, 3))
    np.save(folder / "big_i8.npy", np.arange(3, dtype=">i8"))
    np.save(folder / "scalar.npy", np.float64(2.5))
    np.save(folder / "bool.npy", np.zeros((0, 4), bool))
    with open(folder / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, np.ones((1, 2), np.uint8), version=(2, 0))


def write_dictionary():
    names = set(onnx.defs.get_all_schemas()[0].domain)
    for schema in onnx.defs.get_all_schemas():
        if schema.domain == "":
            names |= {schema.name, *schema.attributes}
    names |= {"com.microsoft", "OrderedDict", "collections", "torch._utils", "_rebuild_tensor_v2", "FloatStorage", "storage", "data.pkl", "TFL3"}
    plain = [n for n in sorted(names) if n and all(c in string.printable for c in n)]
    (here / "names.dict").write_text("".join(f'"{n}"\n' for n in plain))


for folder in ["onnx", "state_dict", "npy", "tflite"]:
    (here / "corpus" / folder).mkdir(parents=True, exist_ok=True)
write_models()
write_state_dicts()
write_arrays()
write_dictionary()
