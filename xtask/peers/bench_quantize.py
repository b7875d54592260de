"""Makes an int8 model with another project's quantiser, for `cargo xtask bench-peers`.

Usage: bench_quantize.py KIND MODEL CALIBRATION SHAPE OUT

| KIND | MODEL | OUT |
| --- | --- | --- |
| ort, ort-dynamic | ONNX | ONNX |
| nncf | ONNX | OpenVINO's .xml and .bin |
| litert | TensorFlow Lite | TensorFlow Lite |
| ncnn | MODEL.param and MODEL.bin | OUT.param and OUT.bin; needs NCNN_TOOLS |
| mnn | MNN | MNN |

CALIBRATION holds inputs of SHAPE (1x3x224x224), one after the other, float32, little-endian.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

kind, model, calibration, shape, out = sys.argv[1:]
shape = [int(d) for d in shape.split("x")]
images = np.fromfile(calibration, "<f4").reshape([-1, *shape])


def ort():
    from onnxruntime.quantization import (CalibrationDataReader, QuantFormat, QuantType,
                                          quantize_static)

    class Reader(CalibrationDataReader):
        def __init__(self, name):
            self.feeds = ({name: image} for image in images)

        def get_next(self):
            return next(self.feeds, None)

    prepared, name = prepare()
    quantize_static(prepared, out, Reader(name), quant_format=QuantFormat.QDQ, per_channel=True,
                    activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def ort_dynamic():
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(prepare()[0], out, weight_type=QuantType.QInt8)


def prepare():
    """The model as the quantiser's documentation has it prepared, and the name of its input."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = f"{folder}/prepared.onnx"
    quant_pre_process(model, prepared, skip_symbolic_shape=True)
    return prepared, onnx.load(prepared).graph.input[0].name


def nncf():
    import nncf
    import openvino as ov

    net = nncf.quantize(ov.Core().read_model(model), nncf.Dataset(list(images)),
                        subset_size=len(images), preset=nncf.QuantizationPreset.MIXED)
    ov.save_model(net, out, compress_to_fp16=False)


def litert():
    from ai_edge_quantizer import quantizer, recipe

    last = [np.ascontiguousarray(np.moveaxis(image, 1, -1)) for image in images]
    quantised = quantizer.Quantizer(prepared_tflite())
    quantised.load_quantization_recipe(recipe.static_wi8_ai8())
    ranges = quantised.calibrate({"serving_default": [{"input0": image} for image in last]})
    quantised.quantize(ranges).export_model(out, overwrite=True)


def prepared_tflite():
    """The quantiser feeds a model by the names in its signature, which the file need not have, and
    fails on PADV2. Before a max pooling of what is never negative, zeros pad as well."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    net = schema.ModelT.InitFromPackedBuf(bytearray(pathlib.Path(model).read_bytes()), 0)
    operators = net.subgraphs[0].operators
    kinds = {code.builtinCode: index for index, code in enumerate(net.operatorCodes)}
    clamps = (schema.ActivationFunctionType.RELU, schema.ActivationFunctionType.RELU6)
    positive = {tensor for operator in operators for tensor in operator.outputs
                if getattr(operator.builtinOptions, "fusedActivationFunction", None) in clamps}
    for operator in operators:
        if (operator.opcodeIndex == kinds.get(schema.BuiltinOperator.PADV2)
                and operator.inputs[0] in positive and schema.BuiltinOperator.PAD in kinds):
            operator.opcodeIndex = kinds[schema.BuiltinOperator.PAD]
            operator.inputs = operator.inputs[:2]
            operator.builtinOptionsType = schema.BuiltinOptions.PadOptions
            operator.builtinOptions = schema.PadOptionsT()

    def named(tensors, prefix):
        maps = [schema.TensorMapT() for _ in tensors]
        for number, (entry, tensor) in enumerate(zip(maps, tensors)):
            entry.name, entry.tensorIndex = f"{prefix}{number}".encode(), int(tensor)
        return maps

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs = named(net.subgraphs[0].inputs, "input")
    signature.outputs = named(net.subgraphs[0].outputs, "output")
    net.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(net.Pack(builder), b"TFL3")
    path = f"{folder}/prepared.tflite"
    pathlib.Path(path).write_bytes(builder.Output())
    return path


def ncnn():
    tools = os.environ.get("NCNN_TOOLS")
    if tools is None:
        sys.exit("needs ncnn2table and ncnn2int8 in NCNN_TOOLS")
    listed = []
    for number, image in enumerate(images):
        listed.append(f"{folder}/{number}.npy")
        np.save(listed[-1], image[0])
    pathlib.Path(f"{folder}/list.txt").write_text("\n".join(listed) + "\n")
    extents = ",".join(str(d) for d in reversed(shape[1:]))
    files = [f"{model}.param", f"{model}.bin"]
    call(f"{tools}/ncnn2table", *files, f"{folder}/list.txt", f"{folder}/table",
         f"shape=[{extents}]", "thread=2", "method=kl", "type=1")
    call(f"{tools}/ncnn2int8", *files, f"{out}.param", f"{out}.bin", f"{folder}/table")


def mnn():
    from PIL import Image

    # It reads pictures only; mean and spread turn their bytes back into the noise.
    for number, image in enumerate(images):
        pixels = np.clip(np.round(128 + 40 * np.moveaxis(image[0], 0, -1)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(f"{folder}/{number}.png")
    settings = {
        "format": "RGB", "mean": [128] * 3, "normal": [1 / 40] * 3, "width": shape[3],
        "height": shape[2], "path": f"{folder}/", "used_image_num": len(images),
        "feature_quantize_method": "KL", "weight_quantize_method": "MAX_ABS",
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(settings, file)
        file.flush()
        # A process of its own, because it ends the process where it fails.
        code = "import sys, _tools; _tools.mnnquant(*sys.argv[1:])"
        call(sys.executable, "-c", code, model, out, file.name)


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        sys.exit(f"{pathlib.Path(command[0]).name}: {said[-1] if said else done.returncode}")


quantisers = {f.__name__.replace("_", "-"): f for f in (ort, ort_dynamic, nncf, litert, ncnn, mnn)}
target = pathlib.Path(out)
with tempfile.TemporaryDirectory(dir=target.parent) as folder:
    out = f"{folder}/{target.name}"
    quantisers[kind]()
    # Nothing half-written lies where the driver looks.
    for made in pathlib.Path(folder).glob(f"{target.stem}*"):
        os.replace(made, target.parent / made.name)
