"""The passes themselves, in which things go wrong as the video's name says."""

import errno
import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dft.analyze import pipeline as analysis
from dft.configs.errors import EncoderBusyError, EngineError
from dft.configs.recovery import Recovery
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cpu.detect import YuNetDetector
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.cpu.encode import PyAvEncoder
from dft.engines.protocols import Setback
from dft.render import encoding
from dft.render import pipeline as rendering

HALT = Setback(30, Recovery("nvdec gave up at frame 30: error 700", "decoded by rung cpu up to frame 40"))


def analyze(video: Path, *arguments: Any, **options: Any) -> Any:
    with faults(ANALYZING, video):
        return analysis.analyze(video, *arguments, **options)


def render(video: Path, *arguments: Any, **options: Any) -> Any:
    with faults(RENDERING, video):
        return rendering.render(video, *arguments, **options)


@contextmanager
def faults(known: Any, video: Path) -> Any:
    with ExitStack() as patched:
        for patching in known.get(video.stem.split("-")[0], lambda: ())():
            patched.enter_context(patching)
        yield


def little_room(room: int) -> Any:
    real = YuNetDetector.detect

    def detect(self: Any, batch: Any) -> Any:
        if len(batch) > room:
            raise MemoryError("Unable to allocate 2.62 MiB for an array")
        return real(self, batch)

    return [patch.object(YuNetDetector, "detect", detect)]


def no_embedder() -> Any:
    def embed(self: Any, chips: Any) -> Any:
        raise EngineError("face embedding failed", got="a cosmic ray")

    return [patch.object(OnnxEmbedder, "embed", embed)]


def a_halting_decoder() -> Any:
    return [patch.object(PyAvDecoder, "setbacks", (HALT,))]


def a_full_disk() -> Any:
    def save(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return [patch("dft.analyze.evidence.np.savez", save)]


def an_encoder(failing: Any) -> Any:
    """A rung before the CPU's that does as ``failing`` does."""

    def opened(path: Any, options: Any, device: Any, rung: str) -> Any:
        if rung == "nvenc":
            return failing(path, options)
        return PyAvEncoder(path, options)

    return [
        patch.object(rendering, "encoder_rungs", lambda device: ("nvenc", "cpu")),
        patch.object(encoding, "open_encoder", opened),
    ]


def busy(path: Any, options: Any) -> Any:
    raise EncoderBusyError("all sessions of NVENC are at work", got="error 10")


class Lossy(PyAvEncoder):
    """Fails at each video's end."""

    def finish(self) -> None:
        raise EngineError("NVENC failed", got="the session is gone")


ANALYZING = {
    "memory": lambda: little_room(2), "full": lambda: little_room(0), "embedder": no_embedder,
    "decoder": a_halting_decoder, "disk": a_full_disk,
}  # fmt: skip
RENDERING = {"busy": lambda: an_encoder(busy), "lossy": lambda: an_encoder(Lossy), "decoder": a_halting_decoder}
