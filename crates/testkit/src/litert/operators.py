"""Builds small models of single operators and runs them in LiteRT's reference kernels.

Saves for case I its model mI.npy, inputs xI_J.npy and outputs yI_J.npy (those of rank 4 in NCHW
order), and names.npy: UTF-8, one name a line. `sys.argv[1]` is `float` or `integer`.
"""

import sys

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter as litert
from ai_edge_litert import schema_py_generated as s

B = s.BuiltinOperator
TYPES = {
    np.dtype(np.float32): s.TensorType.FLOAT32,
    np.dtype(np.float16): s.TensorType.FLOAT16,
    np.dtype(np.int32): s.TensorType.INT32,
    np.dtype(np.int64): s.TensorType.INT64,
    np.dtype(np.int8): s.TensorType.INT8,
    np.dtype(np.uint8): s.TensorType.UINT8,
    np.dtype(bool): s.TensorType.BOOL,
}
F, I8, U8, I32, I64 = np.float32, np.int8, np.uint8, np.int32, np.int64
rng = np.random.default_rng(1)


class T:
    """A tensor: an input or result, or stored where it has data."""

    def __init__(self, shape, dtype=F, scale=None, zero=0, data=None, axis=0, low=None, high=None):
        self.shape, self.dtype = list(shape), np.dtype(dtype)
        self.scale, self.zero, self.data, self.axis = scale, zero, data, axis
        self.low, self.high = low, high

    def sample(self):
        if self.dtype == np.dtype(F):
            low, high = self.low or 0.0, self.high
            if high is None:
                return rng.standard_normal(self.shape).astype(F)
            return rng.uniform(low, high, self.shape).astype(F)
        if self.dtype == np.dtype(bool):
            return rng.integers(0, 2, self.shape).astype(bool)
        info = np.iinfo(self.dtype) if self.dtype.itemsize == 1 else None
        low = self.low if self.low is not None else (info.min if info else -9)
        high = self.high if self.high is not None else (info.max if info else 9)
        return rng.integers(low, high, self.shape, endpoint=True).astype(self.dtype)


def const(values, dtype=I32, **quant):
    data = np.asarray(values, dtype)
    return T(data.shape, dtype, data=data, **quant)


def weights(*shape):
    return const(rng.standard_normal(shape), F)


def options(name, **fields):
    made = getattr(s, name + "OptionsT")()
    for key, value in fields.items():
        setattr(made, key, value)
    return getattr(s.BuiltinOptions, name + "Options"), made


def model(steps, given, results):
    """A model of `steps`: (code, inputs, outputs, options), all tensors as T."""
    m = s.ModelT()
    m.version, m.description = 3, "test"
    m.buffers, m.operatorCodes = [s.BufferT()], []
    g = s.SubGraphT()
    g.tensors, g.operators, index = [], [], {}

    def tensor(t):
        if t is None:
            return -1
        if id(t) in index:
            return index[id(t)]
        out = s.TensorT()
        out.name, out.shape, out.type = f"t{len(index)}", t.shape, TYPES[t.dtype]
        out.hasRank = True
        if t.data is not None:
            b = s.BufferT()
            b.data = np.frombuffer(t.data.tobytes(), np.uint8)
            m.buffers.append(b)
            out.buffer = len(m.buffers) - 1
        if t.scale is not None:
            q = s.QuantizationParametersT()
            q.scale = np.atleast_1d(np.asarray(t.scale, F))
            zeros = np.zeros(len(q.scale), I64) + np.asarray(t.zero, I64)
            q.zeroPoint, q.quantizedDimension = zeros, t.axis
            out.quantization = q
        g.tensors.append(out)
        index[id(t)] = len(index)
        return index[id(t)]

    for code, inputs, outputs, opts in steps:
        o = s.OperatorT()
        o.opcodeIndex = len(m.operatorCodes)
        o.inputs, o.outputs = [tensor(t) for t in inputs], [tensor(t) for t in outputs]
        if opts:
            o.builtinOptionsType, o.builtinOptions = opts
        g.operators.append(o)
        c = s.OperatorCodeT()
        c.builtinCode, c.deprecatedBuiltinCode = code, min(code, 127)
        c.version = 2 if code == B.BROADCAST_TO else 1
        m.operatorCodes.append(c)
    g.inputs, g.outputs = [tensor(t) for t in given], [tensor(t) for t in results]
    m.subgraphs = [g]
    builder = flatbuffers.Builder(1024)
    builder.Finish(m.Pack(builder), b"TFL3")
    return bytes(builder.Output())


CASES = []


def case(name, inputs, outputs, opts=None):
    outputs = outputs if isinstance(outputs, list) else [outputs]
    given = [t for t in inputs if t is not None and t.data is None]
    CASES.append((name, model([(getattr(B, name), inputs, outputs, opts)], given, outputs), given))


def nchw(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def interpreter(name, content):
    kinds = litert.OpResolverType
    try:
        if name in ("SUM", "LOCAL_RESPONSE_NORMALIZATION"):
            # Their reference kernels are wrong where the others are exact: that of int8 SUM
            # rescales otherwise, the normalisation leaves out the last of its channels.
            raise ValueError
        return litert.Interpreter(
            model_content=content, experimental_op_resolver_type=kinds.BUILTIN_REF)
    except ValueError:
        # A few operators have no separate reference kernel.
        return litert.Interpreter(
            model_content=content,
            experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def main():
    {"float": floats, "integer": integers}[sys.argv[1]]()
    names, failed = [], False
    for i, (name, content, given) in enumerate(CASES):
        try:
            runner = interpreter(name, content)
            runner.allocate_tensors()
            for j, (t, entry) in enumerate(zip(given, runner.get_input_details())):
                x = t.sample()
                runner.set_tensor(entry["index"], x)
                np.save(f"x{i}_{j}.npy", nchw(x))
            runner.invoke()
        except (RuntimeError, ValueError) as error:
            print(f"{i} {name}: {error}", file=sys.stderr)
            failed = True
            continue
        np.save(f"m{i}.npy", np.frombuffer(content, np.uint8))
        for j, entry in enumerate(runner.get_output_details()):
            np.save(f"y{i}_{j}.npy", nchw(runner.get_tensor(entry["index"])))
        names.append(name)
    if failed:
        raise SystemExit("a model of these does not run in LiteRT")
    np.save("names.npy", np.frombuffer("\n".join(names).encode(), np.uint8))



def floats():
    image = lambda *shape: T(shape or (1, 4, 6, 3))
    for t in ([1, 2, 12, 3], [1, 72], [6, 4, 3], [1, 1, 4, 6, 3]):
        case("RESHAPE", [image(), const(t)], T(t))
    case("RESHAPE", [image()], T([4, 18]), options("Reshape", newShape=[4, 18]))
    case("TRANSPOSE", [image(), const([0, 3, 1, 2])], T([1, 3, 4, 6]))
    case("TRANSPOSE", [image(2, 3, 4), const([2, 0, 1])], T([4, 2, 3]))
    for op in ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"):
        case(op, [image(), const([1, 2])], T([1, 3]), options("Reducer", keepDims=False))
        case(op, [image(), const([1, 2])], T([1, 1, 1, 3]), options("Reducer", keepDims=True))
        case(op, [image(), const([-1])], T([1, 4, 6]), options("Reducer", keepDims=False))
        case(op, [image(5, 7), const([0])], T([7]), options("Reducer", keepDims=False))
    case("SOFTMAX", [image()], image(), options("Softmax", beta=0.5))
    case("SOFTMAX", [image(3, 7)], T([3, 7]), options("Softmax", beta=1.0))
    case("LOG_SOFTMAX", [image(3, 7)], T([3, 7]))
    case("L2_NORMALIZATION", [image()], image(), options("L2Norm"))
    case("LOCAL_RESPONSE_NORMALIZATION", [image(1, 4, 4, 7)], image(1, 4, 4, 7),
         options("LocalResponseNormalization", radius=2, bias=1.5, alpha=0.3, beta=0.75))
    pads = const([[0, 0], [1, 0], [1, 2], [0, 2]])
    case("PAD", [image(), pads], T([1, 5, 9, 5]))
    case("PADV2", [image(), pads, const(1.5, F)], T([1, 5, 9, 5]))
    for mode in (0, 1):
        case("MIRROR_PAD", [image(), pads], T([1, 5, 9, 5]), options("MirrorPad", mode=mode))
    for op in ("Add", "Sub", "Mul", "Div"):
        shapes = [((1, 4, 6, 3), (3,)), ((1, 4, 6, 3), (6, 1)), ((2, 3), (2, 3)), ((4,), (1, 4, 6, 4)),
                  ((1, 4, 6, 3), ())]
        for act, (a, b) in enumerate(shapes):
            y = np.broadcast_shapes(a, b)
            case(op.upper(), [T(a), T(b, low=1, high=2)], T(y), options(op, fusedActivationFunction=act % 4))
    for op in ("MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV", "FLOOR_MOD"):
        case(op, [image(), T([3], low=1, high=2)], image())
    case("FLOOR_DIV", [T([9], I32), T([9], I32, low=1, high=4)], T([9], I32))
    case("FLOOR_MOD", [T([9], I32), T([9], I32, low=1, high=4)], T([9], I32))
    case("POW", [T([9], low=0.1, high=3), T([9])], T([9]))
    case("PRELU", [image(), weights(1, 1, 3)], image())
    for op in ("EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"):
        case(op, [T([1, 4, 6, 3], I32, low=0, high=2), T([3], I32, low=0, high=2)],
             T([1, 4, 6, 3], bool))
    for op in ("LOGICAL_AND", "LOGICAL_OR"):
        case(op, [T([2, 5], bool), T([2, 5], bool)], T([2, 5], bool))
    case("LOGICAL_NOT", [T([2, 5], bool)], T([2, 5], bool))
    for op in ("REDUCE_ANY", "REDUCE_ALL"):
        case(op, [T([2, 5], bool), const([1])], T([2], bool), options("Reducer", keepDims=False))
    case("SELECT", [T([2, 5], bool), T([2, 5]), T([2, 5])], T([2, 5]))
    case("SELECT_V2", [T([1, 4, 1, 3], bool), T([1, 4, 6, 3]), T([3])], T([1, 4, 6, 3]))
    unary = ["RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "HARD_SWISH", "ELU", "LOGISTIC", "TANH", "EXP",
             "NEG", "ABS", "SIGN", "FLOOR", "CEIL", "ROUND", "SIN", "COS", "SQUARE", "ZEROS_LIKE"]
    for op in unary:
        case(op, [T([1, 4, 6, 3], low=-4, high=4)], image())
    for op in ("LOG", "SQRT", "RSQRT"):
        case(op, [T([1, 4, 6, 3], low=0.1, high=4)], image())
    for approximate in (False, True):
        case("GELU", [image()], image(), options("Gelu", approximate=approximate))
    case("LEAKY_RELU", [image()], image(), options("LeakyRelu", alpha=0.2))
    case("CAST", [T([7], low=-5, high=5)], T([7], I32), options("Cast", inDataType=0, outDataType=2))
    case("CAST", [T([7], I32)], T([7]), options("Cast", inDataType=2, outDataType=0))
    for op in ("ARG_MAX", "ARG_MIN"):
        name = "ArgMax" if op == "ARG_MAX" else "ArgMin"
        case(op, [image(), const([3])], T([1, 4, 6], I64), options(name, outputType=4))
        case(op, [image(3, 7), const([1])], T([3], I32), options(name, outputType=2))
    slices(image)
    layers()
    resizing(image)


def slices(image):
    def strided(begin, end, step, out, shape=(1, 4, 6, 3), **masks):
        case("STRIDED_SLICE", [T(shape), const(begin), const(end), const(step)], T(out),
             options("StridedSlice", **masks))

    strided([0, 1, 1, 0], [1, -1, 6, 3], [1, 1, 2, 1], [1, 2, 3, 3], beginMask=8)
    strided([0, -1, 0, 0], [0, 0, 0, 0], [1, -1, -2, 1], [1, 3, 3, 3], endMask=13, beginMask=5)
    strided([0, 1, 0, 2], [0, 0, 0, 0], [1, 1, 1, 1], [1, 6], endMask=5, beginMask=5, shrinkAxisMask=10)
    strided([0, -1], [0, 0], [1, 1], [1, 4, 6], endMask=3, ellipsisMask=1, shrinkAxisMask=2)
    strided([1, 0, 0], [3, 0, 9], [1, 1, 2], [2, 1, 3], (4, 5), newAxisMask=2)
    case("SLICE", [image(), const([0, 1, 1, 1]), const([1, 2, -1, 2])], T([1, 2, 5, 2]))
    case("SPLIT", [const([3]), image(1, 4, 6, 4)], [T([1, 4, 6, 2]), T([1, 4, 6, 2])],
         options("Split", numSplits=2))
    case("SPLIT_V", [image(1, 4, 6, 5), const([1, -1, 2]), const(3)],
         [T([1, 4, 6, 1]), T([1, 4, 6, 2]), T([1, 4, 6, 2])], options("SplitV", numSplits=3))
    case("CONCATENATION", [image(), image(1, 4, 6, 2), weights(1, 4, 6, 1)], T([1, 4, 6, 6]),
         options("Concatenation", axis=-1))
    case("PACK", [image(2, 3), image(2, 3)], T([2, 2, 3]), options("Pack", valuesCount=2, axis=1))
    case("PACK", [image(1, 2, 3), image(1, 2, 3)], T([1, 2, 3, 2]), options("Pack", valuesCount=2, axis=-1))
    case("UNPACK", [image(2, 3, 4)], [T([2, 4]), T([2, 4]), T([2, 4])], options("Unpack", num=3, axis=1))
    case("SQUEEZE", [image(1, 4, 1, 3)], T([1, 4, 3]), options("Squeeze", squeezeDims=[2]))
    case("SQUEEZE", [image(1, 4, 1, 3)], T([4, 3]), options("Squeeze", squeezeDims=[]))
    case("EXPAND_DIMS", [image(4, 6, 3), const(0)], image())
    case("TILE", [image(), const([2, 1, 3, 2])], T([2, 4, 18, 6]))
    case("BROADCAST_TO", [image(4, 1, 3), const([2, 4, 6, 3])], T([2, 4, 6, 3]))
    case("GATHER", [image(), const([2, 0, 2])], T([1, 4, 6, 3]), options("Gather", axis=3))
    case("GATHER", [image(5, 4), const([[1, 3], [0, 0]])], T([2, 2, 4]), options("Gather", axis=0))
    case("GATHER_ND", [image(5, 4), const([[1, 3], [0, 2], [4, 1]])], T([3]))
    case("SCATTER_ND", [const([[1], [3]]), image(2, 4), const([5, 4])], T([5, 4]))
    case("EMBEDDING_LOOKUP", [const([2, 0]), weights(4, 3)], T([2, 3]))
    case("REVERSE_V2", [image(), const([2])], image())
    case("CUMSUM", [image(), const(2)], image(), options("Cumsum", exclusive=True, reverse=True))
    case("TOPK_V2", [image(3, 7), const(3)], [T([3, 3]), T([3, 3], I32)])
    case("ONE_HOT", [T([5], I32, low=0, high=3), const(4), const(2.0, F), const(-1.0, F)], T([5, 4]),
         options("OneHot", axis=-1))
    case("ADD_N", [image(), image(), image()], image())
    for order in ([3, 2], [2, 3]):
        a = (2, 4, 3) if order == [3, 2] else (2, 3, 4)
        case("BATCH_MATMUL", [image(*a), image(2, 3, 5)], T([2, 4, 5]),
             options("BatchMatMul", adjX=order == [2, 3], adjY=False))
    case("BATCH_MATMUL", [image(1, 2, 4, 3), image(1, 2, 5, 3)], T([1, 2, 4, 5]),
         options("BatchMatMul", adjX=False, adjY=True))
    case("SPACE_TO_BATCH_ND", [image(1, 4, 6, 3), const([2, 2]), const([[0, 0], [1, 1]])], T([4, 2, 4, 3]))
    case("BATCH_TO_SPACE_ND", [image(4, 2, 4, 3), const([2, 2]), const([[0, 0], [1, 1]])], T([1, 4, 6, 3]))
    case("SPACE_TO_DEPTH", [image()], T([1, 2, 3, 12]), options("SpaceToDepth", blockSize=2))
    case("DEPTH_TO_SPACE", [image(1, 2, 3, 12)], T([1, 4, 6, 3]), options("DepthToSpace", blockSize=2))


def conv_options(kind, **fields):
    fields = {"strideW": 2, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1, **fields}
    return options(kind, **fields)


def pool_options(**fields):
    return options("Pool2D", strideW=2, strideH=2, filterWidth=3, filterHeight=2, **fields)


def layers():
    x = lambda c=4: T([1, 5, 8, c])
    case("FULLY_CONNECTED", [T([1, 2, 2, 3]), weights(5, 12), weights(5)], T([1, 5]),
         options("FullyConnected", fusedActivationFunction=1))
    case("FULLY_CONNECTED", [T([2, 3, 4]), weights(5, 4), None], T([2, 3, 5]),
         options("FullyConnected", keepNumDims=True))
    case("CONV_2D", [x(), weights(6, 3, 2, 4), weights(6)], T([1, 5, 4, 6]),
         conv_options("Conv2D", padding=0, fusedActivationFunction=3))
    case("CONV_2D", [T([1, 9, 8, 4]), weights(6, 3, 3, 4), weights(6)], T([1, 5, 4, 6]),
         conv_options("Conv2D", padding=1, strideW=1, dilationWFactor=2, dilationHFactor=2))
    case("CONV_2D", [x(), weights(6, 3, 2, 2), weights(6)], T([1, 5, 4, 6]),
         conv_options("Conv2D", padding=0))
    case("DEPTHWISE_CONV_2D", [x(3), weights(1, 3, 3, 6), weights(6)], T([1, 3, 4, 6]),
         conv_options("DepthwiseConv2D", padding=0, strideH=2, depthMultiplier=2))
    for padding, out, shape in ((0, (1, 10, 16, 3), (3, 3)), (1, (1, 11, 17, 3), (3, 3)), (0, (1, 9, 15, 3), (2, 3))):
        case("TRANSPOSE_CONV", [const(out), weights(3, *shape, 4), x(), weights(3)], T(out),
             options("TransposeConv", padding=padding, strideW=2, strideH=2))
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        case(op, [x(3)], T([1, 3, 4, 3]), pool_options(padding=0))
        case(op, [x(3)], T([1, 2, 3, 3]), pool_options(padding=1, fusedActivationFunction=1))
    half = weights(6, 1, 1, 4)
    half.data, half.dtype = half.data.astype(np.float16), np.dtype(np.float16)
    given, full, y = x(), T([6, 1, 1, 4]), T([1, 5, 8, 6])
    steps = [(B.DEQUANTIZE, [half], [full], None),
             (B.CONV_2D, [given, full, weights(6)], [y], conv_options("Conv2D", strideW=1))]
    CASES.append(("CONV_2D of float16", model(steps, [given], [y]), [given]))


def resizing(image):
    for align, half in ((False, False), (True, False), (False, True)):
        for size in ([8, 9], [3, 4], [7, 6]):
            for op, name in (("RESIZE_BILINEAR", "ResizeBilinear"),
                             ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighbor")):
                case(op, [image(), const(size)], T([1, *size, 3]),
                     options(name, alignCorners=align, halfPixelCenters=half))


def integers():
    for dtype in (I8, U8):
        low = -128 if dtype == I8 else 0
        q = lambda *shape, scale=0.05, zero=12, **more: T(
            shape or (1, 4, 6, 3), dtype, scale, zero + low + 128, **more)
        same = lambda *shape, **more: q(*shape, **more)
        simple(q, same, low)
        fixed(q, low)
        weighted(q, dtype)
        moving(q)


def simple(q, same, low):
    for op in ("Add", "Sub", "Mul"):
        for act, b in enumerate(((1, 4, 6, 3), (3,), (1, 4, 6, 3), ())):
            case(op.upper(), [q(), q(*b, scale=0.03, zero=-7) if b else T([], q().dtype, 0.03, low + 100)],
                 q(scale=0.06, zero=3), options(op, fusedActivationFunction=act))
    case("ADD", [q(), const(np.arange(3), q().dtype, scale=0.02, zero=low + 120)], q(scale=0.07),
         options("Add"))
    for op in ("MAXIMUM", "MINIMUM"):
        case(op, [q(), q()], q())
    case("PRELU", [q(), const(rng.integers(0, 100, (1, 1, 3)), q().dtype, scale=0.01, zero=low + 120)],
         q(scale=0.04))
    case("RELU", [q()], q(scale=0.04, zero=-20))
    case("RELU6", [q()], q(scale=0.03, zero=-100))
    case("LEAKY_RELU", [q()], q(scale=0.04), options("LeakyRelu", alpha=0.2))
    case("HARD_SWISH", [q()], q(scale=0.04, zero=-20))
    if low:
        case("ELU", [q()], q(scale=0.04, zero=-20))
        case("RSQRT", [q(zero=-128)], q(scale=0.04, zero=-128))
        case("SQUARED_DIFFERENCE", [q(), q(scale=0.03, zero=-7)], q(scale=0.3, zero=-100))
    case("GELU", [q()], q(scale=0.04, zero=-20), options("Gelu", approximate=False))
    if low:
        case("ABS", [q()], q(scale=0.05))
    for op in ("EQUAL", "LESS", "GREATER_EQUAL"):
        case(op, [q(), q()], T([1, 4, 6, 3], bool))
    case("ARG_MAX", [q(3, 7), const([1])], T([3], I32), options("ArgMax", outputType=2))
    reducer = options("Reducer", keepDims=False)
    for op in ("MEAN", "SUM"):
        case(op, [q(), const([1, 2])], q(1, 3, scale=0.03 if op == "MEAN" else 0.6, zero=3), reducer)
        case(op, [q(), const([3])], q(1, 4, 6, scale=0.04 if op == "MEAN" else 0.2), reducer)
    case("REDUCE_MAX", [q(), const([1, 2])], q(1, 3), reducer)
    case("REDUCE_MIN", [q(), const([1, 2])], q(1, 3), reducer)
    other = T([1, 4, 6, 3], U8 if low else I8, 0.02, 30)
    case("QUANTIZE", [q()], q(scale=0.09, zero=-3))
    case("QUANTIZE", [q()], other)
    case("QUANTIZE", [T([1, 4, 6, 3])], q())
    case("DEQUANTIZE", [q()], T([1, 4, 6, 3]))
    case("BATCH_MATMUL", [q(2, 4, 3), q(2, 3, 5, scale=0.03)], q(2, 4, 5, scale=0.2),
         options("BatchMatMul")) if low else None


def fixed(q, low):
    case("SOFTMAX", [q(3, 7)], q(3, 7, scale=1 / 256, zero=-128), options("Softmax", beta=1.0))
    case("LOGISTIC", [q()], q(scale=1 / 256, zero=-128))
    case("TANH", [q()], q(scale=1 / 128, zero=0))
    case("LOG_SOFTMAX", [q(3, 7)], q(3, 7, scale=16 / 256, zero=127))
    case("L2_NORMALIZATION", [q()], q(scale=1 / 128, zero=0), options("L2Norm"))


def weighted(q, dtype):
    channel = dtype == I8

    def stored(shape, axis, zero=0):
        if channel:
            scale = 0.01 + 0.01 * rng.random(shape[axis])
            return const(rng.integers(-127, 127, shape, endpoint=True), I8, scale=scale, axis=axis)
        return const(rng.integers(0, 255, shape, endpoint=True), U8, scale=0.01, zero=117)

    def bias(w, n, x=0.05):
        return const(rng.integers(-900, 900, n), I32, scale=np.asarray(w.scale, F) * F(x))

    x = lambda c=4: q(1, 5, 8, c)
    for act in (0, 1, 3):
        w = stored((6, 3, 2, 4), 0)
        case("CONV_2D", [x(), w, bias(w, 6)], q(1, 5, 4, 6, scale=0.2),
             conv_options("Conv2D", padding=0, fusedActivationFunction=act))
    w = stored((6, 3, 3, 4), 0)
    case("CONV_2D", [q(1, 9, 8, 4), w, bias(w, 6)], q(1, 5, 4, 6, scale=0.2),
         conv_options("Conv2D", padding=1, strideW=1, dilationWFactor=2, dilationHFactor=2))
    w = stored((1, 3, 3, 6), 3)
    case("DEPTHWISE_CONV_2D", [x(3), w, bias(w, 6)], q(1, 3, 4, 6, scale=0.1),
         conv_options("DepthwiseConv2D", padding=0, strideH=2, depthMultiplier=2))
    w = stored((3, 3, 3, 4), 0)
    case("TRANSPOSE_CONV", [const((1, 10, 16, 3)), w, x(), bias(w, 3)], q(1, 10, 16, 3, scale=0.15),
         options("TransposeConv", padding=0, strideW=2, strideH=2))
    w = stored((5, 12), 0)
    if channel:
        w.scale = 0.02
    case("FULLY_CONNECTED", [q(1, 2, 2, 3), w, bias(w, 5)], q(1, 5, scale=0.2),
         options("FullyConnected", fusedActivationFunction=1))
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        case(op, [x(3)], q(1, 3, 4, 3), pool_options(padding=0))
        case(op, [x(3)], q(1, 2, 3, 3), pool_options(padding=1, fusedActivationFunction=1))


def moving(q):
    case("RESHAPE", [q(), const([1, 2, 12, 3])], q(1, 2, 12, 3))
    case("TRANSPOSE", [q(), const([0, 3, 1, 2])], q(1, 3, 4, 6))
    pads = const([[0, 0], [1, 0], [1, 2], [0, 2]])
    case("PAD", [q(), pads], q(1, 5, 9, 5))
    case("PADV2", [q(), pads, const(9, q().dtype, scale=0.05, zero=q().zero)], q(1, 5, 9, 5))
    case("MIRROR_PAD", [q(), pads], q(1, 5, 9, 5), options("MirrorPad", mode=0))
    case("CONCATENATION", [q(), q(1, 4, 6, 2)], q(1, 4, 6, 5), options("Concatenation", axis=3))
    case("SPLIT", [const([3]), q(1, 4, 6, 4)], [q(1, 4, 6, 2), q(1, 4, 6, 2)], options("Split", numSplits=2))
    case("SLICE", [q(), const([0, 1, 1, 1]), const([1, 2, -1, 2])], q(1, 2, 5, 2))
    case("GATHER", [q(5, 4), const([1, 3, 0])], q(3, 4), options("Gather", axis=0))
    case("TILE", [q(2, 3), const([2, 2])], q(4, 6))
    case("SPACE_TO_DEPTH", [q()], q(1, 2, 3, 12), options("SpaceToDepth", blockSize=2))
    case("DEPTH_TO_SPACE", [q(1, 2, 3, 12)], q(1, 4, 6, 3), options("DepthToSpace", blockSize=2))
    for align, half in ((False, False), (True, False), (False, True)):
        case("RESIZE_BILINEAR", [q(), const([8, 9])], q(1, 8, 9, 3),
             options("ResizeBilinear", alignCorners=align, halfPixelCenters=half))
        case("RESIZE_NEAREST_NEIGHBOR", [q(), const([8, 9])], q(1, 8, 9, 3),
             options("ResizeNearestNeighbor", alignCorners=align, halfPixelCenters=half))


main()
