"""Bytes of the block in which ONNX Runtime plans all activations of a model, one thread, batch 1.

Its arena is emptied after each run, so the block that the second run asks for stands alone in the log.
"""

import os
import re
import sys
import tempfile

import numpy
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.log_severity_level = 0
onnxruntime.set_default_logger_severity(0)
log = tempfile.TemporaryFile()
os.dup2(log.fileno(), 2)
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
shape = session.get_inputs()[0].shape
x = numpy.zeros([d if isinstance(d, int) else 1 for d in shape], numpy.float32)
run = onnxruntime.RunOptions()
run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
feed = {session.get_inputs()[0].name: x}
session.run(None, feed, run)
before = os.fstat(log.fileno()).st_size
session.run(None, feed, run)
log.seek(before)
asked = [int(n) for n in re.findall(rb"Extending BFCArena.*num_bytes: (\d+)", log.read())]
assert len(asked) == 1, asked
numpy.save("planned.npy", numpy.int64(asked))
