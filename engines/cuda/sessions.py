"""How many videos a GPU encodes at once: found by trying, as the driver tells nobody its limit."""

import logging
from contextlib import ExitStack, closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ...configs.errors import BackendUnavailableError, EncoderBusyError, EngineError
from ..processes import ask_aside
from ..protocols import Colour, EncodeOptions
from .nvenc import NvencEncoder

log = logging.getLogger(__name__)

ANSWER_SECONDS = 120.0
MOST = 16  # sessions that are tried: each takes memory, and a GPU's engines are busy with fewer
SMALL = EncodeOptions(256, 144, Fraction(1, 25), Fraction(25), Colour(1, 1, 1), preset="ultrafast")


def count_sessions(most: int = MOST) -> int | None:
    """Open sessions of NVENC until one is refused, and close them.

    Args:
        most: No more than these are tried.

    Returns:
        How many there were; 0 if others have them all, None if there is no NVENC.
    """
    with TemporaryDirectory(prefix="dft-sessions-") as folder, ExitStack() as opened:
        for number in range(most):
            try:
                opened.enter_context(closing(NvencEncoder(Path(folder) / f"{number}.mp4", SMALL)))
            except EncoderBusyError:
                return number
            except BackendUnavailableError as error:
                log.debug("no NVENC: %s", error)
                return None
    return most


def count_sessions_aside() -> int | None:
    """The same in a process that then ends: trying makes a CUDA context, which would take memory for good."""
    try:
        return ask_aside(partial(count_sessions, MOST), ANSWER_SECONDS)
    except EngineError as error:
        log.info("the sessions of NVENC cannot be counted: %s", error)
        return None
