"""Decoding on NVDEC with PyNvVideoCodec, with PyAV's demuxer, so that time stamps are the file's own.

PyNvVideoCodec enqueues the copy of a decoded surface into a buffer of its own on the CUDA stream that it was given, and
uses that buffer again from the next ``Decode()`` on. Each picture is therefore copied once more, on the same stream and
before the next ``Decode()``, into a ring that belongs to us. Nothing waits on the host.
"""

from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any

from ..cpu.image import yuv_colour
from ..foreign import reading
from ..numbering import Numbering
from ..probe import probe, scan
from ..protocols import FOR_ANALYSIS, Closing, Frame, PictureOptions, VideoInfo
from .aside import aside
from .available import why_no_pynvvideocodec
from .image import CudaImage
from .packets import packets_for
from .refusal import BITS, RefusedError, coded_size, why_unfit
from .ring import Ring, Slot
from .surfaces import copy_planes

CODECS = {
    "h264": "H264", "hevc": "HEVC", "vp9": "VP9", "av1": "AV1", "libdav1d": "AV1", "libaom-av1": "AV1",
    "mpeg2video": "MPEG2",
}  # fmt: skip
"""PyNvVideoCodec's name by FFmpeg's name of the decoder."""
NO_PTS = -(2**40)  # of packets without a time stamp, ascending from here: no frame of an index lies there


class NvDecoder(Closing):
    """Frames of one video in presentation order; implements :class:`dft.engines.protocols.Decoder`.

    Damaged pictures that NVDEC conceals come concealed; those that never come are counted.

    Args:
        path: The video.
        picture: What is made of the pictures.
        size: Width and height of the images before rotation, even, to be scaled while decoding; None for the
            video's own. ``info`` tells the video's own size in any case.

    Raises:
        VideoError: The file cannot be read.
        RefusedError: NVDEC, the driver or PyNvVideoCodec cannot decode it.
    """

    rung = "nvdec"

    def __init__(self, path: Path, picture: PictureOptions = FOR_ANALYSIS, size: tuple[int, int] | None = None):
        info = probe(path)
        _check(info, picture)
        if size is not None and any(length % 2 for length in size):
            raise RefusedError("NVDEC cannot scale to an odd size", got=f"{size[0]}x{size[1]}", expected="even numbers")
        import cupy

        self.info = replace(info, colour=yuv_colour(info.pixel_format, info.colour))
        self.index = scan(path)
        self.num_corrupt = 0
        self._scaled = size
        self._size = size or coded_size(info)
        self._bits = BITS[info.pixel_format]
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._ring = Ring(*self._size, picture.depth)
        self._source: Generator[tuple[int, Any], None, None] | None = None  # goes on where the last iteration stopped
        self._position = 0  # index of the frame that it gives next

    def close(self) -> None:
        """Release the file and the NVDEC session; images stay valid."""
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
                self.close()
                self._source = self._numbered(first)
                self._position = first
            try:
                yield from self._until(end, self._source)
            except Exception:
                self.close()
                raise

    def _until(self, end: int, source: Generator[tuple[int, Any], None, None]) -> Iterator[Frame]:
        for index, surface in source:
            if index < self._position:
                continue
            self.num_corrupt += min(index, end) - self._position
            if index >= end:  # the range's last frames are lost, and this one is seen too early
                self.close()
                return
            frame = Frame(index, int(self.index.pts[index]), self._image(surface))
            self._position = index + 1
            yield frame
            if self._source is not source or self._position == end:  # closed meanwhile, or done
                return
        self.num_corrupt += end - self._position
        self.close()

    def _numbered(self, first: int) -> Generator[tuple[int, Any], None, None]:
        numbering = Numbering(self.index)
        for surface in self._surfaces(first):
            index = numbering.of(surface.getPTS())
            if index is not None:
                yield index, surface

    def _surfaces(self, first: int) -> Iterator[Any]:
        """Decoded surfaces; each is valid until the next is asked for."""
        import PyNvVideoCodec as nvc  # noqa: N813

        decoder = self._session(nvc)
        for number, packet in enumerate(chain(packets_for(self.info.path, self.index, first), [None])):
            data = nvc.PacketData()
            if packet is not None:  # its memory is kept until Decode returns
                data.bsl_data, data.bsl = packet.buffer_ptr, packet.size
                data.pts = NO_PTS + number if packet.pts is None else packet.pts
            try:
                surfaces = decoder.Decode(data)
            except Exception as error:
                raise RefusedError("NVDEC stopped", got=error) from error
            if surfaces and (decoder.GetWidth(), decoder.GetHeight()) != self._size:
                got = f"{decoder.GetWidth()}x{decoder.GetHeight()}"
                raise RefusedError("the picture's size changes midway", got=got)
            yield from surfaces

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
        def enqueue(slot: Slot) -> None:
            width, height = self._size
            luma, pitch = surface.GetPtrToPlane(0), width * (1 if self._bits == 8 else 2)
            copy_planes(slot, (luma, pitch), (luma + height * pitch, pitch), self._bits, self._stream)

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
def decoder_caps(codec: str, bits: int) -> dict[str, int]:
    """What NVDEC says about 4:2:0 video of PyNvVideoCodec's ``codec``; each question costs a CUDA context."""
    import PyNvVideoCodec as nvc  # noqa: N813

    chroma = getattr(nvc.cudaVideoChromaFormat, "420")
    ask = partial(nvc.GetDecoderCaps, gpuid=0, codec=getattr(nvc.cudaVideoCodec, codec))
    return dict(aside(partial(ask, chromaformat=chroma, bitdepth=bits)))
