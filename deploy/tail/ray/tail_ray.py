# Models of an edgecut split behind Ray Serve, over gRPC: all of EDGECUT_MODELS. Every process must find
# this file and the messages of the protocol:
#
#   python -m grpc_tools.protoc -I . --python_out=. --grpc_python_out=. oip.proto
#   PYTHONPATH=.:.. python tail_ray.py --grpc_port 8001 [--host 0.0.0.0] [--replicas 2]
import argparse
import signal

import numpy as np
import oip_pb2
from edgecut_tail import DATATYPES, NUMPY, Refused, names, open_model, threads
from grpc import StatusCode
from ray import serve
from ray.serve.config import HTTPOptions, gRPCOptions

CODES = {
    400: StatusCode.INVALID_ARGUMENT, 404: StatusCode.NOT_FOUND, 409: StatusCode.FAILED_PRECONDITION,
    413: StatusCode.RESOURCE_EXHAUSTED, 503: StatusCode.UNAVAILABLE, 504: StatusCode.DEADLINE_EXCEEDED,
}
# Fields of typed contents.
CONTENTS = {
    "BOOL": "bool", "INT8": "int", "INT16": "int", "INT32": "int", "INT64": "int64",
    "UINT8": "uint", "UINT16": "uint", "UINT32": "uint", "UINT64": "uint64", "FP32": "fp32", "FP64": "fp64",
}


# More than are computed at the same time wait in Ray's queue. Methods run on threads of the replica.
@serve.deployment(max_ongoing_requests=64)
class Tail:
    def __init__(self):
        self.tails = {name: open_model(name) for name in names()}

    def ServerLive(self, request):
        return oip_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request):
        return oip_pb2.ServerReadyResponse(ready=True)

    def ModelReady(self, request):
        return oip_pb2.ModelReadyResponse(ready=request.name in self.tails)

    def ServerMetadata(self, request):
        return oip_pb2.ServerMetadataResponse(name="edgecut-tail")

    def ModelMetadata(self, request, grpc_context):
        with answered(grpc_context):
            tail = self.of(request.name)
        ports = ([port._asdict() for port in ports] for ports in (tail.inputs, tail.outputs))
        inputs, outputs = ports
        return oip_pb2.ModelMetadataResponse(name=request.name, platform="edgecut", inputs=inputs, outputs=outputs)

    def ModelInfer(self, request, grpc_context):
        with answered(grpc_context):
            tail = self.of(request.model_name)
            outputs, said = tail.infer(arrays_of(request), parameters_of(request))
        answer = oip_pb2.ModelInferResponse(model_name=request.model_name, id=request.id)
        for name, array in outputs.items():
            answer.outputs.add(name=name, datatype=DATATYPES[array.dtype], shape=array.shape)
            answer.raw_output_contents.append(array.tobytes())
        for name, value in said.items():
            kind = {bool: "bool", int: "int64", float: "double", str: "string"}[type(value)]
            setattr(answer.parameters[name], f"{kind}_param", value)
        return answer

    def of(self, name):
        if name not in self.tails:
            raise Refused(404, f"no model '{name}'")
        return self.tails[name]


class answered:
    """Says in the status of gRPC why there is no answer."""

    def __init__(self, context):
        self.context = context

    def __enter__(self):
        return self

    def __exit__(self, kind, problem, trace):
        if isinstance(problem, Refused):
            self.context.set_code(CODES.get(problem.status, StatusCode.INTERNAL))
            self.context.set_details(str(problem))
        return False


def arrays_of(request):
    arrays, raw = {}, list(request.raw_input_contents)
    for index, tensor in enumerate(request.inputs):
        kind = NUMPY.get(tensor.datatype)
        try:
            if raw:
                array = np.frombuffer(raw[index], kind)
            else:
                array = np.array(getattr(tensor.contents, f"{CONTENTS[tensor.datatype]}_contents"), kind)
            arrays[tensor.name] = array.reshape(tensor.shape)
        except (IndexError, KeyError, TypeError, ValueError) as problem:
            raise Refused(400, f"input '{tensor.name}': {problem!r}") from problem
    return arrays


def parameters_of(request):
    choices = {name: value.WhichOneof("parameter_choice") for name, value in request.parameters.items()}
    return {name: getattr(request.parameters[name], choice) for name, choice in choices.items() if choice}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--grpc_port", type=int, default=8001)
    parser.add_argument("--http_port", type=int, default=8000, help="of Ray Serve's own health page")
    parser.add_argument("--replicas", type=int, default=1)
    args = parser.parse_args()
    serve.start(
        http_options=HTTPOptions(host=args.host, port=args.http_port),
        grpc_options=gRPCOptions(
            port=args.grpc_port,
            grpc_servicer_functions=["oip_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"],
        ),
    )
    replica = {"num_cpus": threads()}
    serve.run(Tail.options(num_replicas=args.replicas, ray_actor_options=replica).bind())
    signal.sigwait({signal.SIGINT, signal.SIGTERM})
    serve.shutdown()
