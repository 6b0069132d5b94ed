"""Pass two: from a video and its tracks to the split-screen video. ``pipeline.py`` shows the flow.

pipeline     one frame's way: plan the camera, decode, compose, encode, mux
plan         which part of every frame each tile shows
framing      crops with head and shoulders, one take of the camera at a time
faces        the followed faces of a track table, frame by frame
smooth       the camera's motion along one axis
layout       where the tiles lie on the canvas
"""

from ..configs.callable_module import make_callable

make_callable(__name__)
