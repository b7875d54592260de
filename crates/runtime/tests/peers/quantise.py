"""Quantises MODEL with ONNX Runtime's own quantiser, calibrated on x.npy, into OUT; runs that on
x.npy and saves y.npy.

Usage: quantise.py MODEL OUT ACTIVATIONS(u8|s8) WEIGHTS(tensor|channel) FORMAT(qdq|operators)
"""

import sys

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

model, out, activations, weights, form = sys.argv[1:6]
x = np.load("x.npy")
name = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name


class Reader(CalibrationDataReader):
    def __init__(self):
        self.images = iter(x[i : i + 1] for i in range(min(len(x), 16)))

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {name: image}


quant_pre_process(model, "prepared.onnx", skip_symbolic_shape=True)
quantize_static(
    "prepared.onnx",
    out,
    Reader(),
    quant_format=QuantFormat.QDQ if form == "qdq" else QuantFormat.QOperator,
    per_channel=weights == "channel",
    activation_type=QuantType.QUInt8 if activations == "u8" else QuantType.QInt8,
    weight_type=QuantType.QInt8,
)
session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
np.save("y.npy", np.concatenate([session.run(None, {name: x[i : i + 1]})[0] for i in range(len(x))]))
