"""A piece of video written from packets that NVENC made: tagged with its colours, and put into an MP4 file."""

from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import av.error
from av.bitstream import BitStreamFilterContext

from ...configs.errors import EngineError
from ..cpu.encode import MAX_REORDER
from ..cpu.image import BT709
from ..foreign import writing
from ..protocols import Closing, Colour, EncodeOptions

# FFmpeg's filters that write colours into the bitstream, and the elementary streams that they leave. Headers inside
# the packets are taken out once the container has them, as its hvc1 wants (ISO/IEC 14496-15); AV1's may stay.
TAGGERS = {"h264": "h264_metadata", "hevc": "hevc_metadata", "av1": "av1_metadata"}
STRIPPERS = {"h264": "filter_units=remove_types=7-8", "hevc": "filter_units=remove_types=32-34"}
ELEMENTARY = {"h264": "h264", "hevc": "hevc", "av1": "obu"}


class PieceWriter(Closing):
    """Writes packets into an MP4 file that holds nothing else, like ``PyAvEncoder``'s.

    Packets come in the order of decoding, as Annex B (H.264, HEVC) or low-overhead OBUs (AV1); the first is a keyframe
    with its headers. In the file the pictures have one average frame each: their order is what counts.

    Args:
        path: The file.
        options: What was asked of the encoder.

    Raises:
        OutputError: The file cannot be created.
    """

    def __init__(self, path: Path, options: EncodeOptions):
        self._path, self._codec, self._time_base = path, options.codec, options.time_base
        self._step = max(1, round(1 / (options.fps * options.time_base)))  # one average frame
        self._tagger = BitStreamFilterContext(tagging(options.codec, options.colour), _decoder(options.codec))
        stripper = STRIPPERS.get(options.codec)
        self._stripper = BitStreamFilterContext(stripper, _decoder(options.codec)) if stripper else None
        self._stream: Any = None
        self._num_written = 0
        self._container: Any = None
        with writing(path):
            path.open("wb").close()  # FFmpeg opens it with the first packet only
            self._container = av.open(str(path), "w", format="mp4")

    def write(self, data: bytes, place: int, keyframe: bool) -> None:
        """Write one packet.

        Args:
            data: What the encoder gave.
            place: Which picture it is in the order of time, from 0.
            keyframe: Whether decoding can start there.

        Raises:
            OutputError: The file cannot be written any further.
            EngineError: The packet is not what was expected.
        """
        with writing(self._path):
            (packet,) = self._filtered(self._tagger, data)
            if self._stream is None:
                self._stream = self._begun(bytes(packet))
            if self._stripper is not None:
                (packet,) = self._filtered(self._stripper, bytes(packet))
            packet.stream, packet.time_base = self._stream, self._time_base
            packet.pts, packet.dts = place * self._step, (self._num_written - MAX_REORDER) * self._step
            packet.duration, packet.is_keyframe = self._step, keyframe
            self._num_written += 1
            self._container.mux_one(packet)

    def finish(self) -> None:
        """Complete the file.

        Raises:
            OutputError: The file cannot be completed.
            EngineError: It holds nothing.
        """
        if self._stream is None:
            raise EngineError("a video without pictures cannot be written", got=self._path.name)
        with writing(self._path):
            self._container.close()

    def close(self) -> None:
        """Release everything. Without :meth:`finish` what lies under the name is no complete video."""
        if self._container is not None:
            with suppress(av.error.FFmpegError, OSError, ValueError):  # a full disk, told before
                self._container.close()

    def _filtered(self, chain: Any, data: bytes) -> list[Any]:
        packets = chain.filter(av.Packet(data))
        if len(packets) != 1:
            raise EngineError(
                "the encoder's bitstream cannot be read", got=f"{len(packets)} pictures in one packet", expected=1
            )
        return list(packets)

    def _begun(self, first: bytes) -> Any:
        """The file's stream, with what a decoder must know as the first packet tells it."""
        with av.open(BytesIO(first), format=ELEMENTARY[self._codec]) as probed:
            stream = self._container.add_stream_from_template(probed.streams.video[0], opaque=True)
        stream.time_base = self._time_base
        self._container.start_encoding()
        return stream


def tagging(codec: str, colour: Colour) -> str:
    """The bitstream filter that writes ``colour`` into the headers of ``codec``."""
    if colour.matrix == 0:  # RGB became BT.709 on its way into the canvas
        colour = Colour(BT709, colour.primaries, colour.transfer, full_range=False)
    if codec == "av1":
        names = {
            "color_primaries": colour.primaries, "transfer_characteristics": colour.transfer,
            "matrix_coefficients": colour.matrix, "color_range": "pc" if colour.full_range else "tv",
        }  # fmt: skip
    else:
        names = {
            "colour_primaries": colour.primaries, "transfer_characteristics": colour.transfer,
            "matrix_coefficients": colour.matrix, "video_full_range_flag": int(colour.full_range),
        }  # fmt: skip
    return f"{TAGGERS[codec]}=" + ":".join(f"{name}={value}" for name, value in names.items())


def _decoder(codec: str) -> str:
    """FFmpeg's name of a codec that pins the filters to ``codec``."""
    return {"av1": "libdav1d"}.get(codec, codec)
