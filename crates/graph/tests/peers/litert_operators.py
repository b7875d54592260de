"""Builds one model an operator, runs it in LiteRT, and saves mI.npy, xI.npy, yI.npy (rank 4: NCHW)."""

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as s

B = s.BuiltinOperator
F = s.TensorType.FLOAT32
rng = np.random.default_rng(1)


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def options(name, **fields):
    made = getattr(s, name + "T")()
    for key, value in fields.items():
        setattr(made, key, value)
    return getattr(s.BuiltinOptions, name), made


def constant(*values, dtype=np.int32):
    return np.array(values, dtype)


def model(code, shape, out, constants=(), opts=None, first=0, kind=F):
    m = s.ModelT()
    m.version, m.description = 3, "test"
    m.buffers = [s.BufferT()]
    g = s.SubGraphT()
    g.tensors = []

    def tensor(name, shape, kind, buffer=0):
        t = s.TensorT()
        t.name, t.shape, t.type, t.buffer = name, list(shape), kind, buffer
        g.tensors.append(t)
        return len(g.tensors) - 1

    inputs = [tensor("x", shape, F)]
    for i, c in enumerate(constants):
        b = s.BufferT()
        b.data = np.frombuffer(c.tobytes(), np.uint8)
        m.buffers.append(b)
        types = {np.dtype(np.float32): F, np.dtype(np.int32): s.TensorType.INT32}
        inputs.append(tensor(f"c{i}", c.shape, types[c.dtype], len(m.buffers) - 1))
    if first:
        inputs = inputs[1:1 + first] + [0] + inputs[1 + first:]
    y = tensor("y", out, kind)
    o = s.OperatorT()
    o.opcodeIndex, o.inputs, o.outputs = 0, inputs, [y]
    if opts:
        o.builtinOptionsType, o.builtinOptions = opts
    g.inputs, g.outputs, g.operators = [0], [y], [o]
    c = s.OperatorCodeT()
    c.builtinCode, c.deprecatedBuiltinCode, c.version = code, min(code, 127), 1
    m.operatorCodes, m.subgraphs = [c], [g]
    builder = flatbuffers.Builder(1024)
    builder.Finish(m.Pack(builder), b"TFL3")
    return bytes(builder.Output())


w = lambda *shape: rng.standard_normal(shape).astype(np.float32)
CASES = [
    model(B.RESHAPE, [1, 4, 6, 3], [1, 2, 12, 3], [constant(1, 2, 12, 3)]),
    model(B.RESHAPE, [1, 4, 6, 3], [1, 72], [constant(1, 72)]),
    model(B.TRANSPOSE, [1, 4, 6, 3], [1, 3, 4, 6], [constant(0, 3, 1, 2)]),
    model(B.MEAN, [1, 4, 6, 3], [1, 3], [constant(1, 2)], options("ReducerOptions", keepDims=False)),
    model(B.MEAN, [1, 4, 6, 3], [1, 4, 6], [constant(3)], options("ReducerOptions", keepDims=False)),
    model(B.SOFTMAX, [1, 4, 6, 3], [1, 4, 6, 3], [], options("SoftmaxOptions", beta=0.5)),
    model(B.PAD, [1, 4, 6, 3], [1, 5, 9, 5], [constant([0, 0], [1, 0], [1, 2], [0, 2])]),
    model(B.ADD, [1, 4, 6, 3], [1, 4, 6, 3], [w(3)],
          options("AddOptions", fusedActivationFunction=1)),
    model(B.MUL, [1, 4, 6, 3], [1, 4, 6, 3], [w(6, 1)],
          options("MulOptions", fusedActivationFunction=3)),
    model(B.STRIDED_SLICE, [1, 4, 6, 3], [1, 2, 3, 3],
          [constant(0, 1, 1, 0), constant(1, -1, 6, 3), constant(1, 1, 2, 1)],
          options("StridedSliceOptions", beginMask=8)),
    model(B.SLICE, [1, 4, 6, 3], [1, 2, 5, 2], [constant(0, 1, 1, 1), constant(1, 2, -1, 2)]),
    model(B.FULLY_CONNECTED, [1, 2, 2, 3], [1, 5], [w(5, 12), w(5)],
          options("FullyConnectedOptions", fusedActivationFunction=1)),
    model(B.CONV_2D, [1, 5, 8, 4], [1, 3, 4, 6], [w(6, 3, 2, 4), w(6)],
          options("Conv2DOptions", padding=0, strideW=2, strideH=2, dilationWFactor=1,
                  dilationHFactor=1, fusedActivationFunction=1)),
    model(B.CONV_2D, [1, 9, 8, 4], [1, 5, 4, 6], [w(6, 3, 3, 4), w(6)],
          options("Conv2DOptions", padding=1, strideW=1, strideH=1, dilationWFactor=2,
                  dilationHFactor=2)),
    model(B.DEPTHWISE_CONV_2D, [1, 5, 8, 3], [1, 3, 4, 6], [w(1, 3, 3, 6), w(6)],
          options("DepthwiseConv2DOptions", padding=0, strideW=2, strideH=2, depthMultiplier=2,
                  dilationWFactor=1, dilationHFactor=1)),
    model(B.AVERAGE_POOL_2D, [1, 5, 8, 3], [1, 3, 4, 3], [],
          options("Pool2DOptions", padding=0, strideW=2, strideH=2, filterWidth=3,
                  filterHeight=2)),
    model(B.MAX_POOL_2D, [1, 5, 8, 3], [1, 3, 4, 3], [],
          options("Pool2DOptions", padding=0, strideW=2, strideH=2, filterWidth=3,
                  filterHeight=2)),
    model(B.SQUEEZE, [1, 4, 1, 3], [1, 4, 3], [], options("SqueezeOptions", squeezeDims=[2])),
    model(B.HARD_SWISH, [1, 4, 6, 3], [1, 4, 6, 3]),
]


def main():
    for i, content in enumerate(CASES):
        runner = litert.Interpreter(
            model_content=content,
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
        runner.allocate_tensors()
        entry = runner.get_input_details()[0]
        x = w(*entry["shape"])
        runner.set_tensor(entry["index"], x)
        runner.invoke()
        np.save(f"m{i}.npy", np.frombuffer(content, np.uint8))
        np.save(f"x{i}.npy", nchw(x))
        np.save(f"y{i}.npy", nchw(runner.get_tensor(runner.get_output_details()[0]["index"])))


main()
