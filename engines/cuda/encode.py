"""Encoding what lies on the GPU: on NVENC, or with one copy of each picture to the host by FFmpeg's encoders."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import BackendUnavailableError, EngineError, SettingError
from ..cpu.encode import Library, PyAvEncoder
from ..cpu.image import lying_in
from ..protocols import Closing, EncodeOptions, Encoder
from .counters import count_to_host
from .image import CudaImage, Event
from .kernels import PLANAR, address, launch, pitch, suffix
from .nvenc import B_FRAMES, GOP, PRESETS, NvencEncoder, quality, why_no_encoder

NUM_STAGING = 4  # pictures on their way to the host at once: the oldest is there when the encoder is free
UNUSED_BITS = 6  # low bits of a P016 value that holds 10 bits
FFMPEG_NVENC = {"h264": "h264_nvenc", "hevc": "hevc_nvenc", "av1": "av1_nvenc"}


def open_cuda_encoder(path: Path, options: EncodeOptions, rung: str) -> Encoder:
    """An encoder of ``CudaImage`` canvases. NVENC's sessions are counted by trying.

    Args:
        path: The file that it writes.
        options: What is asked for.
        rung: Its name in :data:`RUNGS`. Pieces of one video must all be encoded on one rung.

    Raises:
        SettingError: There is no such rung.
        BackendUnavailableError: The rung cannot be used, or not now.
        OutputError: ``path`` cannot be written.
        EngineError: The encoder refuses the options.
    """
    if rung not in RUNGS:
        raise SettingError("no such encoder", got=rung, expected=" or ".join(RUNGS))
    return RUNGS[rung](path, options)


class DownloadingEncoder(Closing):
    """Brings pictures to the host and hands them to ``PyAvEncoder``; implements ``protocols.Encoder``.

    The GPU lays the planes out as the encoder wants them, and one copy brings them into pinned memory, from which the
    encoder reads. A picture is encoded when :data:`NUM_STAGING` - 1 later ones are on their way, so the encoder waits
    for the GPU only where the GPU is slower than it.

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
        self._options, self._form = options, (options.width, options.height, options.depth)
        self._latest: int | None = None  # pts
        self._free: list[_Staging] = []
        self._on_the_way: deque[tuple[_Staging, int]] = deque()

    def write(self, image: CudaImage, pts: int) -> None:
        """Encode one canvas of the size and depth in ``options``; ``pts`` ascend.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: ``pts`` does not ascend, the canvas is not what was announced, or the encoder fails.
        """
        if self._latest is not None and pts <= self._latest:
            raise EngineError("a frame came out of order", got=f"pts {pts}", expected=f"more than {self._latest}")
        if (image.width, image.height, image.depth) != self._form:
            width, height, depth = self._form
            raise EngineError(
                "a canvas is not what the encoder was opened for",
                got=f"{image.width}x{image.height} of {image.depth} bits",
                expected=f"{width}x{height} of {depth} bits",
            )
        self._latest = pts
        staging = self._free.pop() if self._free else _Staging(self._options)
        with image.reading(self._stream), self._stream:
            staging.enqueue(image, self._stream)
        self._on_the_way.append((staging, pts))
        if len(self._on_the_way) == NUM_STAGING:
            self._encode_oldest()

    def finish(self) -> None:
        """Encode what is buffered and complete the file.

        Raises:
            OutputError: The file cannot be completed.
            EngineError: The encoder fails.
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
        staging, pts = self._on_the_way.popleft()
        staging.through.synchronize()
        self._encoder.write(staging.image, pts)
        self._free.append(staging)  # FFmpeg's encoders have their own copy of a picture once they have taken it


class _Staging:
    """Planar memory for one picture, on the GPU and pinned on the host.

    Attributes:
        image: The picture on the host, in a frame that the encoder reads as it is.
        through: Recorded after the copy.
    """

    def __init__(self, options: EncodeOptions):
        import cupy
        import cupyx

        self._runtime = cupy.cuda.runtime
        width, height, dtype = options.width, options.height, np.dtype(np.uint8 if options.depth == 8 else np.uint16)
        host: NDArray[Any] = cupyx.empty_pinned((width * height * 3 // 2,), dtype)
        self._num_bytes = int(host.nbytes)
        self._device = cupy.cuda.Memory(self._num_bytes)  # not of a pool, which keeps memory for each stream
        self._host = int(host.ctypes.data)
        self.image = lying_in(host, width, height, options.colour)
        self.through: Event = cupy.cuda.Event(block=True, disable_timing=True)
        self._arguments = np.zeros((), PLANAR)
        self._arguments["target"] = self._device.ptr
        self._arguments["columns"], self._arguments["rows"] = width, height
        self._arguments["shift"] = 0 if options.depth == 8 else UNUSED_BITS

    def enqueue(self, image: CudaImage, stream: Any) -> None:
        """Enqueue what brings ``image`` to the host on ``stream``, which is the current one."""
        y, uv, made = image.y, image.uv, self._arguments
        made["y"], made["uv"], made["y_pitch"], made["uv_pitch"] = address(y), address(uv), pitch(y), pitch(uv)
        launch(f"spread_{suffix(y)}", made, image.width, image.height)
        self._runtime.memcpyAsync(
            self._host, self._device.ptr, self._num_bytes, self._runtime.memcpyDeviceToHost, stream.ptr
        )
        stream.record(self.through)
        count_to_host("frames", self._num_bytes)


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
        chosen |= {"cq": quality(options), "b": "0"}
    return FFMPEG_NVENC[options.codec], chosen


def _open_ffmpeg_nvenc(path: Path, options: EncodeOptions) -> Encoder:
    reason = why_no_encoder()
    if reason is not None:
        raise BackendUnavailableError("FFmpeg's NVENC cannot be used", got=reason)
    return DownloadingEncoder(path, options, ffmpeg_nvenc(options))


RUNGS: dict[str, Callable[[Path, EncodeOptions], Encoder]] = {
    "nvenc": NvencEncoder,
    "ffmpeg-nvenc": _open_ffmpeg_nvenc,
    "cpu": DownloadingEncoder,
}
