"""Makes an int8 model (QDQ, u8 or s8 activations, s8 weights per channel) with another project's
quantiser, for `cargo xtask duel-quantize`.

Usage: duel_quantize.py KIND MODEL.onnx CALIBRATION.npy OUT.onnx
       duel_quantize.py KIND version

Two need a Python of their own: neural-compressor the packages onnx-neural-compressor, onnx==1.17.0,
onnxruntime, numpy<2, ml_dtypes<0.5 and prettytable; aimet the package aimet-onnx (and torch).

KIND: ort-minmax, ort-percentile, ort-entropy, nncf-fast, nncf-full, neural-compressor, aimet,
aimet-cle. All get the float model as ONNX Runtime's preparation leaves it: BatchNorm folded, shapes
inferred.
"""

import importlib.metadata
import itertools
import os
import sys
import tempfile

PACKAGES = {
    "ort": "onnxruntime",
    "nncf": "nncf",
    "neural": "onnx-neural-compressor",
    "aimet": "aimet-onnx",
}
CHUNK = 16  # images whose activations are held at once

kind, model, *rest = sys.argv[1:]
if model == "version":
    print(importlib.metadata.version(PACKAGES[kind.split("-")[0]]))
    sys.exit()
calibration, out = rest

import numpy as np
import onnx

images = np.load(calibration)


def prepared():
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = f"{folder}/prepared.onnx"
    quant_pre_process(model, path, skip_symbolic_shape=True)
    return path


def feeds(path):
    name = onnx.load(path).graph.input[0].name
    return [{name: image[None]} for image in images]


class Reader:
    """What ONNX Runtime and those who copied it call a calibration data reader."""

    def __init__(self, feeds):
        self.feeds = feeds
        self.rewind()

    def rewind(self):
        self.rest = iter(self.feeds)

    def get_next(self):
        return next(self.rest, None)


def ort(method):
    from onnxruntime.quantization import (CalibrationDataReader, CalibrationMethod, QuantFormat,
                                          QuantType, calibrate, quantize_static)

    class OrtReader(Reader, CalibrationDataReader):
        pass

    # It would hold the activations of all images; its histograms take more images afterwards.
    collect = calibrate.HistogramCalibrater.collect_data

    def in_chunks(self, reader):
        while chunk := list(itertools.islice(iter(reader.get_next, None), CHUNK)):
            collect(self, OrtReader(chunk))
            self.clear_collected_data()

    calibrate.HistogramCalibrater.collect_data = in_chunks
    path = prepared()
    quantize_static(path, out, OrtReader(feeds(path)), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QUInt8,
                    weight_type=QuantType.QInt8, calibrate_method=CalibrationMethod[method])


def nncf(fast):
    import nncf

    path = prepared()
    # The judge multiplies without 16-bit saturation: no weight need be halved against it.
    exact = nncf.AdvancedQuantizationParameters(
        overflow_fix=nncf.quantization.advanced_parameters.OverflowFix.DISABLE)
    net = nncf.quantize(onnx.load(path), nncf.Dataset(feeds(path)), subset_size=len(images),
                        preset=nncf.QuantizationPreset.MIXED, fast_bias_correction=fast,
                        advanced_parameters=exact)
    onnx.save(net, out)


def neural_compressor():
    from onnx_neural_compressor import data_reader
    from onnx_neural_compressor.quantization import QuantFormat, QuantType, config, quantize

    class OncReader(Reader, data_reader.CalibrationDataReader):
        pass

    path = prepared()
    settings = config.StaticQuantConfig(
        OncReader(feeds(path)), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    quantize(path, out, settings)
    # It leaves the weights in a file beside.
    onnx.save(onnx.load(out), out)


def aimet(equalise):
    import aimet_onnx
    from aimet_onnx.quantsim import QuantizationSimModel

    path = prepared()
    net = onnx.load(path)
    if equalise:
        from aimet_onnx.cross_layer_equalization import equalize_model

        equalize_model(net)
    simulated = QuantizationSimModel(net, param_type=aimet_onnx.int8,
                                     activation_type=aimet_onnx.int8,
                                     providers=["CPUExecutionProvider"])
    simulated.compute_encodings(feeds(path))
    onnx.save(simulated.to_onnx_qdq(), out)


quantisers = {
    "ort-minmax": lambda: ort("MinMax"),
    "ort-percentile": lambda: ort("Percentile"),
    "ort-entropy": lambda: ort("Entropy"),
    "nncf-fast": lambda: nncf(True),
    "nncf-full": lambda: nncf(False),
    "neural-compressor": neural_compressor,
    "aimet": lambda: aimet(False),
    "aimet-cle": lambda: aimet(True),
}
target = out
with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.abspath(out))) as folder:
    out = f"{folder}/int8.onnx"
    quantisers[kind]()
    os.replace(out, target)
