"""Pass two: from a video and its tracks to the split-screen video. ``pipeline.py`` shows the flow.

pipeline     plan the camera, encode what is missing, join it with the sound, check the result
job          what that begins with: the input, its tracks, the plan of every output
camera/      which part of every frame each tile shows: who is in which tile (``casting``), what stands in for somebody
             absent (``absence``, ``placing``), both crops together (``pairing``), crops of one take (``framing``), its
             motion along one axis (``follow``, ``l1``) and its zoom (``smooth``), all together in ``plan``; how good
             that is (``metrics``, ``baselines``, ``plot``)
layout       what lies where on the canvas; ``presets`` are the built-in layouts, ``layout_file`` reads one's own
segments     the parts that are encoded apart: where they begin, what decides them, where they lie
encoding     decode, compose, encode
losses       frames that are left out, and how many may be
qc           the report on the finished file
preview      a small proof, and stills
batch/       many videos at once
bench        both passes against the machine's limits
demo         a video to try it on (``scene``, ``portraits``)
commands     the commands of this pass
"""

from ..configs.callable_module import make_callable

make_callable(__name__)
