"""Encoding on NVENC through PyNvVideoCodec, straight from pictures on the GPU.

How x264's words are put into NVENC's (NVENC Video Encoder API Programming Guide, sections on presets and rate control):

- Presets: :data:`PRESETS`, P1 (fastest) to P7, with tuning ``high_quality``; medium is P4, NVENC's own default.
- ``crf``: variable bit rate without a limit and a target quality (``rc=vbr``, ``cq``) of the same number: both count on
  the codec's own scale of quantisers, 0-51 (AV1: 0-63). It means about the same look, not the same size. NVENC takes
  0 for "choose yourself", so the best that can be asked for is 1.
- ``bitrate``: variable bit rate with that average.
- ``threads``: none, as it uses no core.
- Keyframes: :data:`GOP` pictures apart, as x264; NVENC makes each of them an IDR, so groups of pictures are closed.

Colours are not told to the library, whose ``colorspace`` knows BT.601 and BT.709 only and always says full range; they
are written into the bitstream (see ``piece.py``).
"""

import re
from functools import partial
from pathlib import Path
from typing import Any

from ...configs.errors import BackendUnavailableError, EncoderBusyError, EngineError
from ..memory import failure
from ..protocols import Closing, EncodeOptions
from .aside import aside, back_to_own_context
from .image import CudaImage, DeviceArray
from .kernels import address
from .piece import PieceWriter

PRESETS = {
    "ultrafast": "P1", "superfast": "P2", "veryfast": "P3", "faster": "P3", "fast": "P4", "medium": "P4", "slow": "P5",
    "slower": "P6", "veryslow": "P7",
}  # fmt: skip
GOP = 250  # pictures, x264's default
B_FRAMES = 2
FORMATS = {8: "NV12", 10: "P010"}
TYPE_STRINGS = {8: "|u1", 10: "|u2"}  # as the library compares them; CuPy would say <u2
KEYFRAMES = (2, 3)  # NV_ENC_PIC_TYPE_I, NV_ENC_PIC_TYPE_IDR
# NV_ENC_ERR_NO_ENCODE_DEVICE and NV_ENC_ERR_UNSUPPORTED_DEVICE, as the library words them: facts of the card. Sessions
# that are used up give 10 or 21 (OUT_OF_MEMORY, INCOMPATIBLE_CLIENT_KEY), and may be free for the next video.
NO_ENCODER = re.compile(r"(?:returned error|error code)\W*[12]\b", re.IGNORECASE)
# Such a refusal; the library does not always tell the number.
NO_SESSION = re.compile(
    r"(?:returned error|error code)\W*(?:10|21)\b|OpenEncodeSessionEx(?!.*(?:returned error|error code))", re.IGNORECASE
)
NUMBERED = re.compile(r"returned error \d+")

_without_encoder: dict[int, str] = {}  # GPUs that have none, and what said so; they are not asked again


class NvencEncoder(Closing):
    """Encodes pictures on the GPU into an MP4 file that holds nothing else; implements ``protocols.Encoder``.

    Only the finished bitstream comes to the host. The library copies a picture on this encoder's stream before it
    encodes, so a canvas is free again as soon as that copy is through.

    Args:
        path: The file.
        options: What is asked for.

    Raises:
        EncoderBusyError: Its sessions are used up.
        BackendUnavailableError: There is no NVENC, or it cannot do what is asked.
        OutputError: The file cannot be created.
    """

    def __init__(self, path: Path, options: EncodeOptions):
        self._options = options
        self._writer: PieceWriter | None = None
        self._latest: int | None = None  # pts
        self._num_pictures = 0
        self._encoder, self._library, self._stream = _session(options)
        try:
            self._writer = PieceWriter(path, options)
        except BaseException:
            self.close()
            raise

    def write(self, image: CudaImage, pts: int) -> None:
        """Encode one canvas of the size and depth in ``options``; ``pts`` ascend.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: ``pts`` does not ascend, the canvas is not what was announced, or NVENC fails.
        """
        if self._latest is not None and pts <= self._latest:
            raise EngineError("a frame came out of order", got=f"pts {pts}", expected=f"more than {self._latest}")
        surface = _Surface(image, self._options)
        place = self._library.NV_ENC_PIC_PARAMS()
        place.inputTimeStamp = self._num_pictures
        self._latest, self._num_pictures = pts, self._num_pictures + 1
        with image.reading(self._stream):
            packets = self._called(lambda encoder: encoder.Encode(surface, place))
        self._put(packets)

    def finish(self) -> None:
        """Encode what is buffered and complete the file.

        Raises:
            OutputError: The file cannot be completed.
            EngineError: NVENC fails.
        """
        self._put(self._called(lambda encoder: encoder.EndEncode()))
        if self._writer is not None:
            self._writer.finish()

    def close(self) -> None:
        """Release everything. Without :meth:`finish` what lies under the name is no complete video."""
        self._encoder = None  # its session is one of few
        if self._writer is not None:
            self._writer.close()

    def _called(self, call: Any) -> list[Any]:
        try:
            return list(call(self._encoder))
        except Exception as error:  # the library's exceptions are made at run time
            raise failure("NVENC failed", error) from error

    def _put(self, packets: list[Any]) -> None:
        for packet in packets:
            keyframe = int(packet["picture_type"]) in KEYFRAMES
            if self._writer is not None:
                self._writer.write(bytes(packet["data"]), int(packet["timestamp"]), keyframe)


def why_no_encoder() -> str | None:
    """Why the current GPU has no encoder, if this process was told so before, or None."""
    import cupy

    return _without_encoder.get(int(cupy.cuda.runtime.getDevice()))


def quality(options: EncodeOptions) -> str:
    """The target quality that stands for ``crf``."""
    return str(max(options.crf, 1))


def nvenc_options(options: EncodeOptions, max_b_frames: int) -> dict[str, str]:
    """What ``CreateEncoder`` is asked for.

    Args:
        options: What is asked for.
        max_b_frames: As the card's capabilities tell.
    """
    chosen = {
        "codec": options.codec,
        "preset": PRESETS[options.preset],
        "tuning_info": "high_quality",
        "rc": "vbr",
        "fps": f"{max(float(options.fps), 0.01):.2f}",  # the library keeps two decimals
        "gop": str(GOP),
        "bf": str(0 if options.preset == "ultrafast" else min(B_FRAMES, max_b_frames)),
    }
    if options.bitrate is None:
        chosen["cq"] = quality(options)
    else:
        chosen["bitrate"] = str(options.bitrate)
    if options.codec == "av1":
        chosen["use_ivf_container"] = "0"
    else:
        chosen["repeatspspps"] = "1"
    return chosen


def _session(options: EncodeOptions) -> tuple[Any, Any, Any]:
    """An encoder, its library, and the stream that it works on."""
    if options.hdr is not None:
        raise _refused("static HDR metadata cannot be written through it")
    try:
        import cupy
        import PyNvVideoCodec as library  # noqa: N813 - a module with a class's name
    except Exception as error:  # without the driver's libraries the import raises RuntimeError
        raise _refused(error) from error
    gpu = int(cupy.cuda.runtime.getDevice())
    if gpu in _without_encoder:
        raise _refused(_without_encoder[gpu])
    stream = cupy.cuda.Stream(non_blocking=True)
    try:
        capabilities = aside(partial(library.GetEncoderCaps, gpuid=gpu, codec=options.codec))
        chosen = nvenc_options(options, int(capabilities.get("num_max_bframes", 0)))
        encoder = library.CreateEncoder(
            options.width, options.height, FORMATS[options.depth], False, gpu_id=gpu, cudastream=stream.ptr, **chosen
        )
    except Exception as error:  # the library's exceptions are made at run time
        back_to_own_context(gpu)
        if NO_ENCODER.search(str(error)):
            _without_encoder[gpu] = _first_line(error)
        elif NO_SESSION.search(" ".join(str(error).split())):
            raise EncoderBusyError("all sessions of NVENC are at work", got=_first_line(error)) from error
        raise _refused(error) from error
    return encoder, library, stream


def _refused(reason: object) -> BackendUnavailableError:
    return BackendUnavailableError(
        "NVENC cannot be used",
        got=_first_line(reason),
        hint="encode on the CPU, or on a card with an encoder that is free",
    )


def _first_line(reason: object) -> str:
    """What the library says up to its error's number; its file, and advice of a page, may follow."""
    said = " ".join(str(reason).split())
    number = NUMBERED.search(said)
    return said[: number.end()] if number else next(iter(str(reason).strip().splitlines()), type(reason).__name__)


class _Surface:
    """A picture as PyNvVideoCodec reads it: ``cuda()`` gives planes that are told by the CUDA array interface."""

    def __init__(self, image: CudaImage, options: EncodeOptions):
        height, width, depth = options.height, options.width, options.depth
        if (image.width, image.height, image.depth) != (width, height, depth):
            raise EngineError(
                "a canvas is not what the encoder was opened for",
                got=f"{image.width}x{image.height} of {image.depth} bits",
                expected=f"{width}x{height} of {depth} bits",
            )
        size, kind = image.y.dtype.itemsize, TYPE_STRINGS[depth]
        self._planes = [
            _Plane(image.y, (height, width, 1), (width * size, size, 1), kind),
            _Plane(image.uv, (height // 2, width // 2, 2), (width * size, 2, 1), kind),
        ]

    def cuda(self) -> list["_Plane"]:
        """Luma and chroma."""
        return self._planes


class _Plane:
    """One plane. The library compares strides with its own table, whose last two are odd for 16 bits."""

    def __init__(self, values: DeviceArray, shape: tuple[int, ...], strides: tuple[int, ...], kind: str):
        if int(values.strides[0]) != strides[0]:
            raise EngineError("NVENC takes canvases without padding", got=f"{values.strides[0]} bytes a row")
        self.__cuda_array_interface__ = {
            "shape": shape, "strides": strides, "data": (address(values), False), "typestr": kind, "version": 3,
        }  # fmt: skip
