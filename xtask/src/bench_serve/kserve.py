# A model of KServe that ONNX Runtime computes; as the one of MLServer beside it.
import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
from kserve import InferOutput, InferResponse, Model, ModelServer

THREADS = int(os.environ["EDGECUT_THREADS"])


class Onnx(Model):
    def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["EDGECUT_MODEL"], options)
        self.input = self.session.get_inputs()[0].name
        self.output = self.session.get_outputs()[0].name
        self.pool = ThreadPoolExecutor(THREADS)
        self.ready = True

    def compute(self, payload):
        x = payload.inputs[0].as_numpy()
        y = self.session.run([self.output], {self.input: x})[0]
        output = InferOutput(self.output, list(y.shape), "FP32")
        output.set_data_from_numpy(y, binary_data=True)
        return InferResponse(payload.id or "0", self.name, [output])

    async def predict(self, payload, headers=None, response_headers=None):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.pool, self.compute, payload)


if __name__ == "__main__":
    model = Onnx("model")
    model.load()
    http, grpc = int(os.environ["EDGECUT_HTTP"]), int(os.environ["EDGECUT_GRPC"])
    ModelServer(http_port=http, grpc_port=grpc, workers=1).start([model])
