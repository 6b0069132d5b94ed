"""Decoding on the CPU with PyAV."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av.error
import numpy as np

from ..foreign import UNREADABLE, reading
from ..numbering import Numbering
from ..probe import open_video, probe, scan
from ..protocols import FOR_ANALYSIS, Closing, Frame, FrameIndex, PictureOptions, Setback
from .deinterlace import Numbered, deinterlaced
from .image import from_av, yuv_colour
from .lut import SDR, ToneMapper


class PyAvDecoder(Closing):
    """Frames of one video in presentation order; implements :class:`dft.engines.protocols.Decoder`.

    Args:
        path: The video.
        threads: FFmpeg's threads for decoding and for filters, or None for one per core.
        picture: What is made of the pictures.
        index: Its frames, if they are known: else the file is scanned for them.

    Raises:
        VideoError: The file cannot be read.
        EngineError: Its colours cannot be tone-mapped.
    """

    rung = "cpu"
    why = ""
    setbacks: Sequence[Setback] = ()

    def __init__(
        self,
        path: Path,
        threads: int | None = None,
        picture: PictureOptions = FOR_ANALYSIS,
        index: FrameIndex | None = None,
    ):
        info = probe(path)
        self.info = replace(info, colour=yuv_colour(info.pixel_format, info.colour))  # of the images that it gives
        self._threads = threads or 0
        self._picture = picture
        self._tone_mapper: ToneMapper | None = None
        if picture.tone_map and info.is_hdr:
            self._tone_mapper = ToneMapper(info, picture.depth, self._threads)
            self.info = replace(info, colour=SDR, hdr=None)
        self.index = scan(path) if index is None else index
        self.num_corrupt = 0
        self._container: Any = None

    def close(self) -> None:
        """Release the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def frames(self, first: int = 0, end: int | None = None) -> Iterator[Frame]:
        """See :meth:`dft.engines.protocols.Decoder.frames`."""
        end = len(self.index) if end is None else min(end, len(self.index))
        if first >= end:
            return
        with reading(self.info.path):
            try:
                wanted = first
                for source in (self._from_keyframe, self._tail):
                    for index, picture in self._from(wanted, source):
                        if index >= end:
                            return
                        wanted = index + 1
                        yield Frame(index, int(self.index.pts[index]), self._image(picture))
                    if wanted == end:
                        return
            finally:
                self.close()

    def _from(self, first: int, source: Callable[[int], Iterator[Numbered]]) -> Iterator[Numbered]:
        """Pictures from ``first`` on; ``source`` may begin earlier."""
        if self._picture.deinterlace:
            return deinterlaced(source(max(first - 1, 0)), first, self._threads)
        return ((index, picture) for index, picture in source(first) if index >= first)

    def _from_keyframe(self, first: int) -> Iterator[Numbered]:
        """Pictures from a keyframe at or before ``first``.

        Containers seek by decoding time or coarsely, so the landing is looked at, and an earlier keyframe taken until
        the first picture lies at or before the wanted one.
        """
        keys = np.flatnonzero(self.index.keyframe[: first + 1]) if self.index.seekable else np.zeros(1, int)
        for key in keys[::-1]:
            if key == 0:
                break
            pictures = self._open_at(int(key))
            landed = next(pictures, None)
            if landed is not None and landed[0] <= first:
                yield landed
                yield from pictures
                return
        yield from self._open_at(0)

    def _tail(self, first: int) -> Iterator[Numbered]:
        """The end of the file once more with one thread, where its last frames did not come.

        Where the last packet is damaged, as in a file that was cut off, FFmpeg's other threads drop what they hold.
        """
        if self._threads != 1:
            keys = np.flatnonzero(self.index.keyframe[: first + 1])
            yield from self._open_at(int(keys[-1]) if len(keys) else 0, threads=1)

    def _open_at(self, key: int, threads: int | None = None) -> Iterator[Numbered]:
        self.close()
        self._container, stream = self._opened()
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = self._threads if threads is None else threads
        if key > 0:
            self._container.seek(int(self.index.stamps[key]), stream=stream, backward=True, any_frame=False)
        yield from self._number(self._pictures(stream))

    def _opened(self) -> tuple[Any, Any]:
        return open_video(self.info.path)

    def _pictures(self, stream: Any) -> Iterator[Any]:
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except MemoryError:
                raise
            except UNREADABLE:
                return  # the end of what can be read: the index says where and why
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                self.num_corrupt += 1
                continue
            yield from pictures

    def _number(self, pictures: Iterator[Any]) -> Iterator[Numbered]:
        numbering = Numbering(self.index)
        for picture in pictures:
            if picture.pts is None and self.index.seekable:
                self.num_corrupt += 1
                continue
            index = numbering.of(picture.pts)
            if index is not None:
                yield index, picture

    def _image(self, picture: Any) -> Any:
        coded = (self.info.width, self.info.height)
        if self.info.rotation in (90, 270):
            coded = coded[::-1]
        if (picture.width, picture.height) != coded:  # the picture's size changes midway in some broadcasts
            picture = picture.reformat(width=coded[0], height=coded[1])
        if self._tone_mapper is not None:
            picture = self._tone_mapper(picture)
        return from_av(picture, self.info.colour, self.info.rotation, self._picture.depth)
