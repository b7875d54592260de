# A model of an edgecut split behind Triton's Python backend: its name is that of the folder.
import json

import triton_python_backend_utils as pb_utils
from edgecut_tail import Refused, open_model

# Triton's names for statuses; the values are there as soon as the model runs.
CODES = {
    400: "INVALID_ARG", 404: "NOT_FOUND", 409: "INVALID_ARG", 413: "INVALID_ARG",
    503: "UNAVAILABLE", 504: "UNAVAILABLE",
}


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        tail = open_model(config.as_dict()["name"])
        for ports, add in ((tail.inputs, config.add_input), (tail.outputs, config.add_output)):
            for port in ports:
                add({"name": port.name, "data_type": f"TYPE_{port.datatype}", "dims": list(port.shape)})
        config.set_max_batch_size(0)
        return config

    def initialize(self, args):
        self.tail = open_model(args["model_name"])

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        try:
            arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            outputs, said = self.tail.infer(arrays, asked(request))
        except Refused as problem:
            code = getattr(pb_utils.TritonError, CODES.get(problem.status, "INTERNAL"))
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(problem), code))
        wanted = request.requested_output_names()
        tensors = [pb_utils.Tensor(name, array) for name, array in outputs.items() if name in wanted]
        try:
            return pb_utils.InferenceResponse(tensors, parameters=said)
        except TypeError:
            # Older versions answer without parameters; the device then takes the model at its word.
            return pb_utils.InferenceResponse(tensors)


def asked(request):
    """Parameters of a request; Triton keeps `timeout` apart."""
    parameters = json.loads(request.parameters() or "{}")
    return {**parameters, "timeout": request.timeout()} if request.timeout() else parameters
