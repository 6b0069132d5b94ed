"""Pass one: who is where, in every frame.

``pipeline.py`` reads as the flow. Stage 1, chunk by chunk: ``detections`` -> ``bytetrack`` -> ``observe`` ->
``evidence`` on disk. Stage 2, over the whole video: ``shots`` -> ``tracklets`` -> ``chains`` -> ``affinity`` ->
``identity`` -> ``gaps`` -> ``rows`` -> ``sides`` -> ``suspects`` -> the track file.
"""

from ..configs.callable_module import make_callable

make_callable(__name__)
