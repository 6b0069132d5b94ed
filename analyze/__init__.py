"""Pass one: who is where, in every frame.

``pipeline.py`` reads as the flow of files. ``stage_one.py``, chunk by chunk, by ``tracking/``: ``detections`` ->
``observe`` (``closer`` -> ``bytetrack`` -> ``reid``) -> ``evidence`` on disk. ``stage_two.py``, over the whole video:
``shots``; ``identity/``: ``tracklets`` -> ``purity`` -> ``chains`` -> ``persons`` (``crowd``, ``affinity``,
``assignment``); ``outcome/``: ``rows`` -> ``gaps`` -> ``sides`` -> ``suspects`` -> the track file. ``reidentify`` in
``pipeline.py`` runs the second alone; ``parallel.py`` shares the first out over processes; ``streams.py`` measures it.
``patience.py``: what gives way when memory is full. ``commands.py``: its commands.
"""

from ..configs.callable_module import make_callable

make_callable(__name__)
