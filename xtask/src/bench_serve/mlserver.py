# A model of MLServer that ONNX Runtime computes. EDGECUT_MODEL is its file, EDGECUT_THREADS how many
# requests are computed at the same time, one thread each, which gives it most requests per second.
import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

THREADS = int(os.environ["EDGECUT_THREADS"])


class Onnx(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["EDGECUT_MODEL"], options)
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name
        self.pool = ThreadPoolExecutor(THREADS)
        return True

    def compute(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        y = self.session.run([self.output], {self.input: x})[0]
        outputs = [NumpyCodec.encode_output(self.output, y)]
        return InferenceResponse(id=payload.id, model_name=self.name, outputs=outputs)

    async def predict(self, payload):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self.compute, payload)
