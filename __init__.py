"""dft: two passes from a video of two people to a split-screen video.

>>> import dft
>>> dft.analyze("interview.mp4")                            # doctest: +SKIP
>>> dft.render("interview.mp4", "interview.tracks.parquet")  # doctest: +SKIP

Importing ``dft`` is cheap: a pass is loaded when it is first touched.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .configs.errors import DftError
from .configs.version import VERSION

if TYPE_CHECKING:
    from .analyze.pipeline import analyze as analyze
    from .render.pipeline import render as render

__version__ = VERSION

__all__ = ["DftError", "__version__", "analyze", "render"]


def __getattr__(name: str) -> Any:
    if name in ("analyze", "render"):
        # Each pass is a subpackage that can be called: see ``configs/callable_module.py``.
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
