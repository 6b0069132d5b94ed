"""Decoding on NVDEC with PyNvVideoCodec, with PyAV's demuxer, so that time stamps are the file's own.

PyNvVideoCodec enqueues the copy of a decoded surface into a buffer of its own on the CUDA stream that it was given, and
uses that buffer again from the next ``Decode()`` on. Each picture is therefore copied once more, on the same stream and
before the next ``Decode()``, into a ring that belongs to us. Nothing waits on the host.
"""

import logging
import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from ..cpu.image import yuv_colour
from ..foreign import reading
from ..numbering import Numbering
from ..probe import probe, scan
from ..protocols import FOR_ANALYSIS, Closing, Frame, FrameIndex, PictureOptions, Setback, VideoInfo
from .aside import aside
from .available import why_no_pynvvideocodec
from .image import CudaImage
from .packets import entries, packets_from
from .refusal import BITS, RefusedError, coded_size, why_unfit
from .ring import Ring
from .surfaces import SurfaceCopy

log = logging.getLogger(__name__)

CODECS = {
    "h264": "H264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1", "libdav1d": "AV1", "libaom-av1": "AV1",
    "mpeg2video": "MPEG2",
}  # fmt: skip
"""PyNvVideoCodec's name by FFmpeg's name of the decoder."""
NO_PTS = -(2**40)  # of packets without a time stamp, ascending from here: no frame of an index lies there
MAX_WITHHELD = 64  # packets that NVDEC may be ahead of its pictures: 16 of H.264 and HEVC, a few in flight, and room

Numbered = tuple[int, Any]  # frame_index and surface


class NvDecoder(Closing):
    """Frames of one video in presentation order; implements :class:`dft.engines.protocols.Decoder`.

    Damaged pictures that NVDEC conceals come concealed; those that never come are counted.

    Args:
        path: The video.
        picture: What is made of the pictures.
        size: Width and height of the images before rotation, even, to be scaled while decoding; None for the
            video's own. ``info`` tells the video's own size in any case.
        index: Its frames, if they are known: else the file is scanned for them.

    Raises:
        VideoError: The file cannot be read.
        RefusedError: NVDEC, the driver or PyNvVideoCodec cannot decode it.
    """

    rung = "nvdec"
    why = ""
    setbacks: Sequence[Setback] = ()

    def __init__(
        self,
        path: Path,
        picture: PictureOptions = FOR_ANALYSIS,
        size: tuple[int, int] | None = None,
        index: FrameIndex | None = None,
    ):
        info = probe(path)
        _check(info, picture)
        if size is not None and any(length % 2 for length in size):
            raise RefusedError("NVDEC cannot scale to an odd size", got=f"{size[0]}x{size[1]}", expected="even numbers")
        import cupy

        self.info = replace(info, colour=yuv_colour(info.pixel_format, info.colour))
        self.index = scan(path) if index is None else index
        self.num_corrupt = 0
        self._scaled = size
        self._size = size or coded_size(info)
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._ring = Ring(*self._size, picture.depth)
        self._copy = SurfaceCopy(*self._size, BITS[info.pixel_format], self._stream)
        self._source: Generator[Numbered, None, None] | None = None  # goes on where the last iteration stopped
        self._position = 0  # index of the frame that it gives next

    def close(self) -> None:
        """Release the file, the NVDEC session and the memory of pictures that nobody holds; images stay valid."""
        self._end()
        self._ring.trim()

    def _end(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """See :meth:`dft.engines.protocols.Decoder.frames`.

        An iteration that begins where the last one stopped goes on with its session: nothing is sought or set up.

        Raises:
            RefusedError: NVDEC gave up.
        """
        end = len(self.index) if end is None else min(end, len(self.index))
        if first >= end:
            return
        with reading(self.info.path):
            if self._source is None or self._position != first:
                self._end()
                self._source = self._numbered(first)
                self._position = first
            try:
                yield from self._until(end, self._source)
            except Exception:
                self._end()
                raise

    def _until(self, end: int, source: Generator[Numbered, None, None]) -> Iterator[Frame]:
        stamps = self.index.pts
        for index, surface in source:
            if index < self._position:
                continue
            if index != self._position:
                self.num_corrupt += min(index, end) - self._position
                if index >= end:  # the range's last frames are lost, and this one is seen too early
                    self._end()
                    return
            frame = Frame(index, stamps.item(index), self._image(surface))
            self._position = index + 1
            yield frame
            if self._source is not source or self._position == end:  # closed meanwhile, or done
                return
        self.num_corrupt += end - self._position
        self._end()

    def _numbered(self, first: int) -> Generator[Numbered, None, None]:
        """Surfaces from frame ``first`` or one before it on; each is valid until the next is asked for.

        NVDEC need not give the picture of the keyframe that it is entered at. Hence an earlier keyframe is tried where
        the first picture from the keyframe on lies after ``first``, or where none comes. Pictures before the keyframe
        prove nothing.
        """
        for key in entries(self.index, first):
            with closing(self._run(key, first)) as run:
                landed = next((each for each in run if each[0] >= key), None)
                if landed is not None and (landed[0] <= first or key == 0):
                    yield landed
                    yield from run
                    return
            log.debug("%s: NVDEC gave no picture up to frame %d from keyframe %d on", self.info.path.name, first, key)

    def _run(self, key: int, first: int) -> Generator[Numbered, None, None]:
        """Numbered surfaces of one session; it ends early where no picture comes for the sake of frame ``first``."""
        import PyNvVideoCodec as nvc  # noqa: N813

        patience = first - key + MAX_WITHHELD if key > 0 else sys.maxsize
        number_of = Numbering(self.index).of
        with closing(packets_from(self.info.path, self.index, key, first)) as packets:
            head = next(packets, None)
            if head is None:
                return
            decoder, data = self._session(nvc), nvc.PacketData()
            for given, packet in enumerate(chain((head,), packets, (None,))):
                if packet is None:
                    data = nvc.PacketData()  # the end
                else:  # its memory is kept until Decode returns
                    data.bsl_data, data.bsl, pts = packet.buffer_ptr, packet.size, packet.pts
                    data.pts = NO_PTS + given if pts is None else pts
                try:
                    surfaces = decoder.Decode(data)
                except Exception as error:
                    raise RefusedError("NVDEC stopped", got=error) from error
                if surfaces:
                    patience = sys.maxsize
                    self._check_size(decoder)
                elif given > patience:
                    return
                for surface in surfaces:
                    index = number_of(surface.getPTS())
                    if index is not None:
                        yield index, surface

    def _check_size(self, decoder: Any) -> None:
        size = decoder.GetWidth(), decoder.GetHeight()
        if size != self._size:
            raise RefusedError("the picture's size changes midway", got=f"{size[0]}x{size[1]}")

    def _session(self, nvc: Any) -> Any:
        width, height = coded_size(self.info)
        try:
            decoder = nvc.CreateDecoder(
                gpuid=0,
                codec=getattr(nvc.cudaVideoCodec, CODECS[self.info.codec]),
                cudastream=self._stream.ptr,
                usedevicememory=True,
                maxwidth=width,
                maxheight=height,
            )
            if self._scaled is not None:
                decoder.setReconfigParams(*self._scaled)
        except Exception as error:
            raise RefusedError("NVDEC cannot be opened", got=error) from error
        return decoder

    def _image(self, surface: Any) -> CudaImage:
        enqueue = partial(self._copy.block, pointer=surface.GetPtrToPlane(0))
        return self._ring.fill(self._stream, enqueue, self.info.colour, self.info.rotation)


def _check(info: VideoInfo, picture: PictureOptions) -> None:
    reason = why_unfit(info, picture) or _why_not_here(info) or _why_not_this_gpu(info)
    if reason is not None:
        raise RefusedError(f"NVDEC does not take {info.path.name}", got=reason)


def _why_not_here(info: VideoInfo) -> str | None:
    if info.interlaced:
        return "PyNvVideoCodec deinterlaces interlaced video whether wanted or not"
    if info.codec not in CODECS:
        return f"codec {info.codec} is not decoded by NVDEC here"
    return why_no_pynvvideocodec()


def _why_not_this_gpu(info: VideoInfo) -> str | None:
    bits = BITS[info.pixel_format]
    try:
        caps = decoder_caps(CODECS[info.codec], bits)
    except Exception as error:  # whatever PyNvVideoCodec raises where the driver refuses
        return f"the driver does not tell what NVDEC can do ({error})"
    if not caps["supported"]:
        return f"this GPU does not decode {info.codec} of {bits} bits"
    width, height = coded_size(info)
    if not (caps["width_min"] <= width <= caps["width_max"] and caps["height_min"] <= height <= caps["height_max"]):
        least, most = (f"{caps[f'width_{end}']}x{caps[f'height_{end}']}" for end in ("min", "max"))
        return f"{width}x{height} lies outside of {least} to {most}"
    if (width // 16) * (height // 16) > caps["mb_num_max"]:
        return f"{width}x{height} has more than {caps['mb_num_max']} macroblocks"
    return None


@cache
def decoder_caps(codec: str, bits: int, gpu: int = 0) -> dict[str, int]:
    """What NVDEC says about 4:2:0 video of PyNvVideoCodec's ``codec``; each question costs a CUDA context."""
    import PyNvVideoCodec as nvc  # noqa: N813

    chroma = getattr(nvc.cudaVideoChromaFormat, "420")
    ask = partial(nvc.GetDecoderCaps, gpuid=gpu, codec=getattr(nvc.cudaVideoCodec, codec))
    return dict(aside(partial(ask, chromaformat=chroma, bitdepth=bits)))


@cache
def num_engines(gpu: int = 0) -> int:
    """How many NVDEC engines a GPU has, which decode as many videos at once at full speed; 1 where nobody tells."""
    if why_no_pynvvideocodec() is not None:
        return 1
    try:
        return max(decoder_caps("H264", 8, gpu).get("num_decoder_engines", 1), 1)
    except Exception as error:  # whatever PyNvVideoCodec raises where the driver refuses
        log.info("the driver does not tell how many NVDEC engines there are (%s)", error)
        return 1
