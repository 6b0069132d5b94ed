"""Pass two: from a video and its tracks to the split-screen video. ``pipeline.py`` shows the flow.

pipeline     one frame's way: plan the camera, decode, compose, encode, mux
plan         which part of every frame each tile shows
framing      crops with head and shoulders, one take of the camera at a time
faces        the followed faces of a track table, frame by frame
follow       the camera's motion along one axis: a tube around the face, and the calmest path in it
l1           the solver for that path
smooth       the zoom's motion
metrics      how calm the camera is, and how well it keeps the face
layout       where the tiles lie on the canvas
"""

from ..configs.callable_module import make_callable

make_callable(__name__)
