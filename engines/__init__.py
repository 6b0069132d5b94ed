"""Everything that touches hardware or a codec: decode, infer, compose, encode, weights, device choice.

``protocols.py`` names the roles, ``devices.py`` chooses who plays them, ``cpu/`` and ``cuda/`` hold the backends. The
other packages of dft never import av, onnxruntime or a GPU library themselves.
"""
