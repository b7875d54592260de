"""Quantises a small float network in four ways with ONNX Runtime's quantiser.

Writes, for each way, WAY.npy (the model's bytes) and WAY_y.npy (its result on x.npy, which is
written too).
"""

import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

random = np.random.default_rng(5)


def stored(name, *shape):
    values = random.normal(0, 0.5, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def network():
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "w2", "b2"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], group=8),
        node("Relu", ["c"], ["d"]),
        node("Conv", ["d", "w3", "b3"], ["e"], kernel_shape=[1, 1]),
        node("Add", ["e", "b"], ["f"]),
        node("GlobalAveragePool", ["f"], ["g"]),
        node("Flatten", ["g"], ["h"]),
        node("Gemm", ["h", "w4", "b4"], ["y"], transB=1),
    ]
    shapes = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (8, 1, 3, 3), "b2": (8,)}
    shapes |= {"w3": (8, 8, 1, 1), "b3": (8,), "w4": (5, 8), "b4": (5,)}
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])
    graph = helper.make_graph(nodes, "small", [x], [y], [stored(n, *s) for n, s in shapes.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.left = iter([{"x": picture()} for _ in range(8)])

    def get_next(self):
        return next(self.left, None)


def picture():
    return random.normal(0, 1, (1, 3, 16, 16)).astype(np.float32)


x = picture()
np.save("x.npy", x)
with tempfile.TemporaryDirectory() as folder:
    onnx.save(network(), f"{folder}/float.onnx")
    for way, form, activations in [
        ("operators_u8", QuantFormat.QOperator, QuantType.QUInt8),
        ("operators_s8", QuantFormat.QOperator, QuantType.QInt8),
        ("qdq_u8", QuantFormat.QDQ, QuantType.QUInt8),
        ("qdq_s8", QuantFormat.QDQ, QuantType.QInt8),
    ]:
        path = f"{folder}/{way}.onnx"
        quantize_static(
            f"{folder}/float.onnx",
            path,
            Pictures(),
            quant_format=form,
            per_channel=True,
            activation_type=activations,
            weight_type=QuantType.QInt8,
        )
        content = open(path, "rb").read()
        np.save(f"{way}.npy", np.frombuffer(content, np.uint8))
        session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
        np.save(f"{way}_y.npy", session.run(None, {"x": x})[0])
