# Models of an edgecut split behind MLServer. A folder NAME with model-settings.json for each model.
import asyncio
from concurrent.futures import ThreadPoolExecutor

from edgecut_tail import Refused, open_model
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import MLServerError
from mlserver.types import InferenceResponse, MetadataTensor, Parameters

# Statuses that it has no status of gRPC for: another model than the device means, too large.
STATUSES = {409: 422, 413: 400}


class Tail(MLModel):
    async def load(self):
        self.tail = open_model(self.name)
        self.inputs, self.outputs = (
            [MetadataTensor(**port._asdict()) for port in ports]
            for ports in (self.tail.inputs, self.tail.outputs)
        )
        self.pool = ThreadPoolExecutor(self.tail.concurrency)
        return True

    async def predict(self, payload):
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.compute, payload)

    def compute(self, payload):
        asked = payload.parameters.model_dump(exclude={"content_type", "headers"}) if payload.parameters else {}
        try:
            arrays = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
            outputs, said = self.tail.infer(arrays, asked)
        except Refused as problem:
            raise MLServerError(str(problem), STATUSES.get(problem.status, problem.status)) from problem
        except ValueError as problem:
            raise MLServerError(str(problem)) from problem
        outputs = [NumpyCodec.encode_output(name, array) for name, array in outputs.items()]
        return InferenceResponse(
            id=payload.id, model_name=self.name, outputs=outputs, parameters=Parameters(**said)
        )
