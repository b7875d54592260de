# Models of an edgecut split behind KServe's Python server: all of EDGECUT_MODELS.
#
#   python tail_kserve.py [--http_port 8080] [--grpc_port 8081]
import argparse
import asyncio
from concurrent.futures import ThreadPoolExecutor

from edgecut_tail import Refused, names, open_model
from grpc import StatusCode
from grpc_interceptor.exceptions import GrpcException
from kserve import InferOutput, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.infer_type import to_http_parameters

CODES = {503: StatusCode.UNAVAILABLE, 504: StatusCode.DEADLINE_EXCEEDED}


class Tail(Model):
    def load(self):
        self.tail = open_model(self.name)
        self.pool = ThreadPoolExecutor(self.tail.concurrency)
        self.ready = True
        return True

    def get_input_types(self):
        return [port._asdict() for port in self.tail.inputs]

    def get_output_types(self):
        return [port._asdict() for port in self.tail.outputs]

    async def predict(self, payload, headers=None, response_headers=None):
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.compute, payload)

    def compute(self, payload):
        try:
            arrays = {tensor.name: tensor.as_numpy() for tensor in payload.inputs}
            answers, said = self.tail.infer(arrays, to_http_parameters(payload.parameters or {}))
        except ValueError as problem:
            raise InvalidInput(str(problem)) from problem
        except Refused as problem:
            if problem.status == 404:
                raise ModelNotFound(self.name) from problem
            if problem.status in (400, 409, 413):
                raise InvalidInput(str(problem)) from problem
            code = CODES.get(problem.status, StatusCode.INTERNAL)
            raise GrpcException(status_code=code, details=str(problem)) from problem
        outputs = []
        for port in self.tail.outputs:
            output = InferOutput(port.name, list(answers[port.name].shape), port.datatype)
            output.set_data_from_numpy(answers[port.name], binary_data=payload.use_binary_outputs)
            outputs.append(output)
        return InferResponse(
            payload.id, self.name, outputs, parameters=said,
            use_binary_outputs=payload.use_binary_outputs, requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    args, _ = argparse.ArgumentParser(parents=[model_server.parser]).parse_known_args()
    models = [Tail(name) for name in names()]
    for model in models:
        model.load()
    ModelServer(http_port=args.http_port, grpc_port=args.grpc_port, workers=1).start(models)
