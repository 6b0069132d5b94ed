"""CUDA backends: frames stay on the GPU from the decoder to the detector and to the encoder.

cupy, PyNvVideoCodec and onnxruntime are imported when a backend is opened, never before.
"""
