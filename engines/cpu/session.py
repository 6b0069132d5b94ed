"""ONNX Runtime sessions on the CPU."""

import onnxruntime

RUNG = f"onnxruntime-cpu {onnxruntime.__version__} fp32"


def open_session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session on ``threads`` threads, which sleep while they wait: decoding needs the cores.

    Args:
        graph: ONNX model.
        threads: Threads within one call.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
