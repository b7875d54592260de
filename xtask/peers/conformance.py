"""Tests in the form of ONNX's own, for operators that have none there: those of com.microsoft, and
integer operators with every pair of element types. ONNX Runtime says what is expected.

    conformance.py FOLDER     writes FOLDER/TEST/model.onnx and FOLDER/TEST/test_data_set_0/*.pb
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

U8, I8 = np.uint8, np.int8
rng = np.random.default_rng(1)


def f32(*shape):
    return rng.normal(size=shape).astype(np.float32)


def ints(dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, size=shape, endpoint=True).astype(dtype)


def scale(value):
    return np.array(value, np.float32)


def zero(dtype, value=0):
    return np.array(value, dtype)


def write(folder, name, op, inputs, given=(0,), domain="", version=17, outputs=1, **attributes):
    """One node. The inputs at `given` are inputs of the model, the others stored; None is left out."""
    names = [f"i{k}" if x is not None else "" for k, x in enumerate(inputs)]
    results = [f"o{k}" for k in range(outputs)]
    node = helper.make_node(op, names, results, domain=domain, **attributes)
    kind = {k: helper.np_dtype_to_tensor_dtype(x.dtype) for k, x in enumerate(inputs) if x is not None}
    graph = helper.make_graph(
        [node],
        name,
        [helper.make_tensor_value_info(names[k], kind[k], inputs[k].shape) for k in given],
        [helper.make_value_info(o, onnx.TypeProto()) for o in results],
        [numpy_helper.from_array(x, names[k]) for k, x in enumerate(inputs) if k not in given and x is not None],
    )
    sets = [helper.make_opsetid("", version), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8)
    options = onnxruntime.SessionOptions()
    # As written: fusions would change what is computed.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    expected = session.run(None, {names[k]: inputs[k] for k in given})
    test = Path(folder) / f"test_{name}"
    data = test / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    for k, array in enumerate(expected):
        info = helper.make_tensor_value_info(results[k], helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        model.graph.output[k].CopyFrom(info)
        (data / f"output_{k}.pb").write_bytes(numpy_helper.from_array(array).SerializeToString())
    for place, k in enumerate(given):
        (data / f"input_{place}.pb").write_bytes(numpy_helper.from_array(inputs[k]).SerializeToString())
    (test / "model.onnx").write_bytes(model.SerializeToString())


def integers(folder):
    """Convolutions and products of every pair of types that ONNX Runtime has."""
    for a, b, tag in [(U8, U8, "u8u8"), (U8, I8, "u8s8"), (I8, I8, "s8s8")]:
        x, w = ints(a, 2, 4, 9, 8), ints(b, 6, 2, 3, 3)
        az, bz, yz = zero(a, 7), zero(b, 3 if b is U8 else 0), zero(a, 5)
        conv = [x, scale(0.02), az, w, scale(0.01), bz, scale(0.3), yz]
        bias = rng.integers(-3000, 3000, size=6).astype(np.int32)
        write(folder, f"qlinearconv_{tag}", "QLinearConv", conv, group=2, pads=[1, 0, 1, 2], strides=[2, 1])
        write(folder, f"qlinearconv_{tag}_bias", "QLinearConv", conv + [bias], group=2, dilations=[2, 1])
        scales, zeros = scale([0.01, 0.02, 0.005, 0.03, 0.01, 0.004]), np.full(6, bz)
        each = conv[:4] + [scales, zeros] + conv[6:] + [bias]
        write(folder, f"qlinearconv_{tag}_per_channel", "QLinearConv", each, group=2)
        line = [ints(a, 1, 2, 12), scale(0.02), az, ints(b, 3, 2, 5), scale(0.01), bz, scale(0.2), yz]
        write(folder, f"qlinearconv_{tag}_line", "QLinearConv", line, auto_pad="SAME_UPPER")
        p, q = ints(a, 2, 5, 16), ints(b, 16, 7)
        product = [p, scale(0.02), az, q, scale(0.01), bz, scale(0.25), yz]
        write(folder, f"qlinearmatmul_{tag}", "QLinearMatMul", product)
        columns = product[:4] + [scale(np.linspace(0.005, 0.02, 7)), np.full(7, bz)] + product[6:]
        write(folder, f"qlinearmatmul_{tag}_per_column", "QLinearMatMul", columns)
        write(folder, f"matmulinteger_{tag}", "MatMulInteger", [p, q, az, bz], given=(0, 1))
        gemm = [p[0], scale(0.02), az, q, scale(0.01), bz, bias_of(7), scale(0.25), yz]
        ms = {"domain": "com.microsoft"}
        write(folder, f"qgemm_{tag}", "QGemm", gemm, **ms)
        write(folder, f"qgemm_{tag}_float", "QGemm", gemm[:6], **ms)
        turned = [*gemm[:3], np.ascontiguousarray(q.T), *gemm[4:]]
        write(folder, f"qgemm_{tag}_turned", "QGemm", turned, transB=1, alpha=0.5, **ms)
    x, w = ints(U8, 1, 2, 6, 6), ints(U8, 4, 1, 3, 3)
    write(folder, "convinteger_groups", "ConvInteger", [x, w, zero(U8, 9), zero(U8, 4)], group=2, pads=[1, 1, 1, 1])
    write(folder, "dynamicquantize", "DynamicQuantizeLinear", [f32(3, 5)], outputs=3)


def bias_of(n):
    return rng.integers(-3000, 3000, size=n).astype(np.int32)


def microsoft(folder):
    def ours(name, op, inputs, **attributes):
        write(folder, name, op, inputs, domain="com.microsoft", **attributes)

    for t, tag in [(U8, "u8"), (I8, "s8")]:
        x, y = ints(t, 2, 3, 5, 6), ints(t, 3, 1, 1)
        one, out = [x, scale(0.05), zero(t, 3)], [scale(0.07), zero(t, 11)]
        other = [y, scale(0.03), zero(t, 2)]
        small = [scale(1 / 256), zero(t, 0 if t is U8 else -128)]
        ours(f"qlinearadd_{tag}", "QLinearAdd", one + other + out)
        ours(f"qlinearmul_{tag}", "QLinearMul", one + other + out)
        two = [x, *one[1:], ints(t, 2, 3, 5, 6), *other[1:], *out]
        ours(f"qlinearadd_{tag}_two_inputs", "QLinearAdd", two, given=(0, 3))
        ours(f"qlinearsigmoid_{tag}", "QLinearSigmoid", one + small)
        ours(f"qlinearleakyrelu_{tag}", "QLinearLeakyRelu", one + out, alpha=0.1)
        ours(f"qlinearsoftmax_{tag}", "QLinearSoftmax", one + small, axis=-1, opset=13)
        ours(f"qlinearsoftmax_{tag}_joint", "QLinearSoftmax", one + small, axis=1, opset=11)
        ours(f"qlinearglobalaveragepool_{tag}", "QLinearGlobalAveragePool", one + out, channels_last=0)
        pool = dict(kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
        ours(f"qlinearaveragepool_{tag}", "QLinearAveragePool", one + out, **pool)
        ours(f"qlinearaveragepool_{tag}_pads", "QLinearAveragePool", one + out, count_include_pad=1, **pool)
        part = ints(t, 2, 2, 5, 6)
        ours(f"qlinearconcat_{tag}", "QLinearConcat", out + one + [part, *other[1:]], given=(2, 5), axis=1)
        ours(f"dequantize_{tag}", "DequantizeLinear", one)
        ours(f"quantize_{tag}", "QuantizeLinear", [f32(2, 3, 5, 6), *out])
    ours("gelu", "Gelu", [f32(3, 8)])
    ours("biasgelu", "BiasGelu", [f32(3, 8), f32(8)])
    ours("fastgelu", "FastGelu", [f32(3, 8)])
    ours("fastgelu_bias", "FastGelu", [f32(3, 8), f32(8)])
    ours("quickgelu", "QuickGelu", [f32(3, 8)], alpha=1.702)
    conv = [f32(1, 4, 7, 7), f32(4, 1, 3, 3), f32(4)]
    for activation, parameters in [("Relu", []), ("Clip", [0.0, 6.0]), ("HardSigmoid", [0.2, 0.5]), ("Tanh", [])]:
        more = {"activation_params": parameters} if parameters else {}
        ours(f"fusedconv_{activation.lower()}", "FusedConv", conv, group=4, activation=activation, **more)
    ours("fusedconv_addend", "FusedConv", [*conv, f32(1, 4, 5, 5)], group=4, activation="Relu")


def old_forms(folder):
    """Forms that newer operator sets replaced."""
    image = f32(1, 2, 5, 6)
    for mode in ["nearest", "linear"]:
        scales = scale([1, 1, 2, 3])
        write(folder, f"upsample9_{mode}", "Upsample", [image, scales], version=9, mode=mode)
        write(folder, f"resize10_{mode}", "Resize", [image, scales], version=10, mode=mode)
        half = scale([1, 1, 0.5, 0.5])
        write(folder, f"resize10_{mode}_smaller", "Resize", [image, half], version=10, mode=mode)
    for op in ["Softmax", "LogSoftmax", "Hardmax"]:
        write(folder, f"{op.lower()}11", op, [image], version=11, axis=1)
    write(folder, "slice9", "Slice", [image], version=9, starts=[1, -3], ends=[5, 100], axes=[2, 3])
    write(folder, "topk9", "TopK", [image], version=9, k=3, axis=3, outputs=2)
    write(folder, "globallppool3", "GlobalLpPool", [image], p=3)
    write(folder, "lpnormalization1", "LpNormalization", [image], axis=2, p=1)
    write(folder, "convtranspose_same", "ConvTranspose", [image, f32(2, 3, 3, 4)], strides=[2, 3], auto_pad="SAME_LOWER")


if __name__ == "__main__":
    integers(sys.argv[1])
    microsoft(sys.argv[1])
    old_forms(sys.argv[1])
