"""The Python runtimes of `cargo xtask bench-peers`; `rust/src/worker.rs` describes the protocol.

Usage: bench_worker.py RUNTIME MODEL INPUT SHAPE OUTPUT THREADS PRECISION OUTPUT_NAME...
       bench_worker.py versions      prints the version of every installed runtime as JSON
"""

import gc
import importlib.metadata
import json
import os
import sys
import time

PACKAGES = {
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "litert": "ai-edge-litert",
    "ncnn": "ncnn",
    "mnn": "MNN",
    "pnnx": "pnnx",
    "onnx": "onnx",
    "nncf": "nncf",
    "ai-edge-quantizer": "ai-edge-quantizer",
}
UNMEASURED = 2  # runs at the start of a burst: caches hold another worker's data then


def versions():
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


if sys.argv[1:] == ["versions"]:
    print(json.dumps(versions()))
    sys.exit()

# Some runtimes write to standard output; answers get a descriptor of their own.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

runtime, model, input_path, shape, output_path, threads, precision, *names = sys.argv[1:]
threads = int(threads)
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = str(threads)

import numpy as np

x = np.fromfile(input_path, "<f4").reshape([int(d) for d in shape.split("x")])


def onnxruntime():
    import onnxruntime as ort

    def load():
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        feed = {session.get_inputs()[0].name: x}
        return lambda: session.run(None, feed)

    return load


def openvino():
    import openvino as ov

    def load():
        # By itself it computes in bfloat16 where the processor has it.
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": "1",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }
        request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
        request.set_input_tensor(ov.Tensor(x, shared_memory=True))

        def run():
            request.infer()
            return [np.array(t.data) for t in request.output_tensors]

        return run

    return load


def litert():
    from ai_edge_litert.interpreter import Interpreter

    def quantised(detail, values):
        if detail["dtype"] == np.float32:
            return values
        scale, zero = detail["quantization"]
        bounds = np.iinfo(detail["dtype"])
        codes = np.clip(np.round(values / scale) + zero, bounds.min, bounds.max)
        return codes.astype(detail["dtype"])

    def numbers(detail, codes):
        if detail["dtype"] == np.float32:
            return codes
        scale, zero = detail["quantization"]
        return (codes.astype(np.float32) - zero) * scale

    def load():
        net = Interpreter(model_path=model, num_threads=threads)
        net.allocate_tensors()
        (given,), outputs = net.get_input_details(), net.get_output_details()
        values = np.ascontiguousarray(np.moveaxis(x, 1, -1)) if x.ndim == 4 else x
        values = quantised(given, values)

        def run():
            net.set_tensor(given["index"], values)
            net.invoke()
            return [numbers(d, net.get_tensor(d["index"])) for d in outputs]

        return run

    return load


def first_channels(arrays):
    """LiteRT's images are channels-last."""
    return [np.moveaxis(y, -1, 1) if y.ndim == 4 else y for y in arrays]


def ncnn():
    import ncnn

    def load():
        net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic"):
            setattr(net.opt, option, False)
        net.opt.use_bf16_storage = precision == "bf16"
        if hasattr(net.opt, "use_bf16_packed"):
            net.opt.use_bf16_packed = precision == "bf16"
        if net.load_param(model + ".param") != 0 or net.load_model(model + ".bin") != 0:
            raise SystemExit("ncnn cannot load " + model)
        given = ncnn.Mat(x[0]).clone()

        def run():
            extractor = net.create_extractor()
            extractor.input("in0", given)
            return [np.array(extractor.extract(f"out{i}")[1]) for i in range(len(names))]

        return run

    return load


def mnn():
    import MNN

    def load():
        net = MNN.Interpreter(model)
        precise = "low" if precision == "bf16" else "high"
        settings = {"backend": "CPU", "numThread": threads, "precision": precise}
        session = net.createSession(settings)

        def host(shape, values):
            layout = MNN.Tensor_DimensionType_Caffe
            return MNN.Tensor(shape, MNN.Halide_Type_Float, values, layout)

        net.getSessionInput(session).copyFrom(host(x.shape, x))
        outputs = [net.getSessionOutput(session, name) for name in names]
        shapes = [output.getShape() for output in outputs]
        hosts = [host(shape, np.zeros(shape, np.float32)) for shape in shapes]

        def run():
            net.runSession(session)
            for output, to in zip(outputs, hosts):
                output.copyToHostTensor(to)
            return [to.getNumpyData() for to in hosts]

        return run

    return load


def peak_rss_kib():
    with open("/proc/self/status") as status:
        lines = [line for line in status if line.startswith("VmHWM:")]
    return int(lines[0].split()[1])


def answer(value):
    print(json.dumps(value), file=answers, flush=True)


def timed(work):
    began = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - began) * 1e3


loaders = {f.__name__: f for f in (onnxruntime, openvino, litert, ncnn, mnn)}
host_rss_kib = peak_rss_kib()
run, load_ms = timed(loaders[runtime]())
outputs, first_ms = timed(run)
if runtime == "litert":
    outputs = first_channels(outputs)
np.concatenate([np.ascontiguousarray(y).ravel() for y in outputs]).astype("<f4").tofile(output_path)
answer({
    "load_ms": load_ms,
    "first_ms": first_ms,
    "host_rss_kib": host_rss_kib,
    "arena_bytes": None,
})
gc.disable()
for line in sys.stdin:
    request, seconds, runs = line.split()
    if request != "burst":
        raise SystemExit(f"unknown request {line!r}")
    for _ in range(UNMEASURED):
        run()
    times, began = [], time.perf_counter()
    while len(times) < int(runs) or time.perf_counter() - began < float(seconds):
        times.append(timed(run)[1])
    answer(times)
answer({"rss_kib": peak_rss_kib()})
