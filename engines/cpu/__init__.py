"""CPU backends on PyAV, ONNX Runtime and OpenCV. They define the behaviour of every other backend."""
