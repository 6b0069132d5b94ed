"""Encoding what lies on the GPU: on NVENC, or with one copy of each picture to the host by FFmpeg's encoders."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from ...configs.errors import BackendUnavailableError, EngineError, SettingError
from ..cpu.encode import Library, PyAvEncoder
from ..cpu.image import PIXEL_FORMATS, empty
from ..protocols import Closing, Colour, EncodeOptions, Encoder
from .counters import count_to_host
from .image import CudaImage, DeviceArray, Event
from .kernels import PLANAR, address, launch, pitch, suffix
from .nvenc import B_FRAMES, GOP, PRESETS, NvencEncoder

log = logging.getLogger(__name__)

NUM_STAGING = 2  # one picture is copied while the one before is encoded
UNUSED_BITS = 6  # low bits of a P016 value that holds 10 bits
FFMPEG_NVENC = {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"}


@dataclass(frozen=True)
class OpenedEncoder:
    """An encoder, and how it was chosen.

    Attributes:
        encoder: Takes ``CudaImage`` canvases.
        rung: Its name in :data:`RUNGS`. Pieces of one video must all be encoded on one rung.
        why: Why the rungs above it were not taken, one clause each; empty for the first.
    """

    encoder: Encoder
    rung: str
    why: tuple[str, ...]


def open_cuda_encoder(path: Path, options: EncodeOptions, rung: str | None = None) -> OpenedEncoder:
    """The first encoder of :data:`RUNGS` that takes the options. NVENC's sessions are counted by trying.

    Args:
        path: The file that it writes.
        options: What is asked for.
        rung: The only one to try, such as the one of the video's other pieces, or None for all in turn.

    Raises:
        SettingError: There is no such rung.
        BackendUnavailableError: The wanted rung cannot be used.
        OutputError: ``path`` cannot be written.
        EngineError: The last rung refuses the options.
    """
    if rung is not None and rung not in RUNGS:
        raise SettingError("no such encoder", got=rung, expected=" or ".join(RUNGS))
    refusals: list[str] = []
    for name in RUNGS if rung is None else (rung,):
        try:
            encoder = RUNGS[name](path, options)
        except EngineError as error:  # an OutputError would be the next rung's as well
            if name in (rung, LAST):
                raise
            refusals.append(f"not {name}: {error}")
            continue
        log.info("encoder %s%s", name, "".join(f"; {refusal}" for refusal in refusals))
        return OpenedEncoder(encoder, name, tuple(refusals))
    raise AssertionError("the last rung raises or is taken")


class DownloadingEncoder(Closing):
    """Brings pictures to the host and hands them to ``PyAvEncoder``; implements ``protocols.Encoder``.

    The GPU lays the planes out as the encoder wants them, and one copy brings them into pinned memory, while the
    picture before is encoded: waiting for a copy is waiting for the GPU's backlog only.

    Args:
        path: The file.
        options: What is asked for.
        library: FFmpeg's name of an encoder and its options, or None for the CPU's.

    Raises:
        OutputError: The file cannot be created.
        EngineError: The encoder refuses the options.
        BackendUnavailableError: This build of PyAV lacks the encoder.
    """

    def __init__(self, path: Path, options: EncodeOptions, library: Library | None = None):
        import cupy

        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._encoder = PyAvEncoder(path, options, library)
        self._options = options
        self._latest: int | None = None  # pts
        self._free: list[_Staging] = []
        self._on_the_way: deque[tuple[_Staging, int, Colour]] = deque()

    def write(self, image: CudaImage, pts: int) -> None:
        """Encode one canvas of the size and depth in ``options``; ``pts`` ascend.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: ``pts`` does not ascend, or the canvas is not what was announced.
        """
        options = self._options
        if self._latest is not None and pts <= self._latest:
            raise EngineError("a frame came out of order", got=f"pts {pts}", expected=f"more than {self._latest}")
        if (image.width, image.height, image.depth) != (options.width, options.height, options.depth):
            raise EngineError(
                "a canvas is not what the encoder was opened for",
                got=f"{image.width}x{image.height} of {image.depth} bits",
                expected=f"{options.width}x{options.height} of {options.depth} bits",
            )
        self._latest = pts
        with image.reading(self._stream), self._stream:
            staging = self._free.pop() if self._free else _Staging(options)
            staging.enqueue(image, self._stream)
        self._on_the_way.append((staging, pts, image.colour))
        if len(self._on_the_way) >= NUM_STAGING:
            self._encode_oldest()

    def finish(self) -> None:
        """Encode what is buffered and complete the file.

        Raises:
            OutputError: The file cannot be completed.
        """
        while self._on_the_way:
            self._encode_oldest()
        self._encoder.finish()

    def close(self) -> None:
        """Release everything. Without :meth:`finish` what lies under the name is no complete video."""
        self._stream.synchronize()  # no copy may be on its way into memory that is freed
        self._on_the_way.clear()
        self._free.clear()
        self._encoder.close()

    def _encode_oldest(self) -> None:
        staging, pts, colour = self._on_the_way.popleft()
        made = empty(self._options.width, self._options.height, colour, self._options.depth)
        staging.through.synchronize()
        for target, plane in zip((made.y, made.u, made.v), staging.planes, strict=True):
            np.copyto(target, plane)
        self._free.append(staging)
        self._encoder.write(made, pts)


class _Staging:
    """Planar memory for one picture, on the GPU (of the current stream's pool) and pinned on the host.

    Attributes:
        planes: Y, U and V on the host.
        through: Recorded after the copy.
    """

    def __init__(self, options: EncodeOptions):
        import cupy
        import cupyx

        self._runtime = cupy.cuda.runtime
        width, height, dtype = options.width, options.height, np.uint8 if options.depth == 8 else np.uint16
        self._device: DeviceArray = cupy.empty((width * height * 3 // 2,), dtype)
        self._host: NDArray[Any] = cupyx.empty_pinned((width * height * 3 // 2,), dtype)
        self.through: Event = cupy.cuda.Event(block=True, disable_timing=True)
        luma, chroma = width * height, width * height // 4
        half = (height // 2, width // 2)
        self.planes = (
            self._host[:luma].reshape(height, width),
            self._host[luma : luma + chroma].reshape(half),
            self._host[luma + chroma :].reshape(half),
        )

    def enqueue(self, image: CudaImage, stream: Any) -> None:
        """Enqueue what brings ``image`` to the host on ``stream``, which is the current one."""
        made = np.zeros((), PLANAR)
        made["y"], made["uv"], made["target"] = address(image.y), address(image.uv), address(self._device)
        made["y_pitch"], made["uv_pitch"] = pitch(image.y), pitch(image.uv)
        made["columns"], made["rows"] = image.width, image.height
        made["shift"] = 0 if image.depth == 8 else UNUSED_BITS
        launch(f"spread_{suffix(image.y)}", made, image.width, image.height)
        num_bytes = int(self._host.nbytes)
        self._runtime.memcpyAsync(
            self._host.ctypes.data, address(self._device), num_bytes, self._runtime.memcpyDeviceToHost, stream.ptr
        )
        stream.record(self.through)
        count_to_host("frames", num_bytes)


def ffmpeg_nvenc(options: EncodeOptions) -> Library:
    """FFmpeg's NVENC encoder and its options; ``nvenc.py`` says how x264's words are put into NVENC's.

    Raises:
        BackendUnavailableError: It does not take planar pictures of 10 bits, or HDR metadata.
    """
    if options.depth != 8 or options.hdr is not None:
        raise BackendUnavailableError(
            "FFmpeg's NVENC cannot be used", got="10 bits or HDR metadata", expected="8 bits without it"
        )
    chosen = {"preset": PRESETS[options.preset].lower(), "tune": "hq", "rc": "vbr", "g": str(GOP)}
    chosen["bf"] = str(0 if options.preset == "ultrafast" else B_FRAMES)
    if options.bitrate is None:
        chosen |= {"cq": str(options.crf), "b": "0"}
    return FFMPEG_NVENC[options.codec], chosen


def _open_ffmpeg_nvenc(path: Path, options: EncodeOptions) -> Encoder:
    """Try the codec alone first: among the errors of a file, its own cannot be told apart."""
    name, chosen = ffmpeg_nvenc(options)
    try:
        context: Any = av.CodecContext.create(name, "w")
        context.width, context.height, context.pix_fmt = options.width, options.height, PIXEL_FORMATS[options.depth]
        context.time_base, context.options = options.time_base, chosen
        context.open()
    except Exception as error:  # PyAV's errors, and the system's
        raise BackendUnavailableError("FFmpeg's NVENC cannot be used", got=error) from error
    del context  # its session is one of few
    return DownloadingEncoder(path, options, (name, chosen))


RUNGS: dict[str, Callable[[Path, EncodeOptions], Encoder]] = {
    "nvenc": NvencEncoder,
    "ffmpeg-nvenc": _open_ffmpeg_nvenc,
    "cpu": DownloadingEncoder,
}
LAST = "cpu"
