"""Single frames of a video as JPEG, for a page that steps back and forth and plays.

One thread owns the decoder and goes through the video in order. What is asked for comes first, and of that the frame
that is to be seen now; then the thread reads ahead where the steps lead, and where it was told to look
(:meth:`Stills.expect`). Decoded pictures and JPEGs wait in memory, up to a number of bytes, so that a step back does
not decode a whole group of pictures.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from ...configs.errors import CorruptVideoError, DftError, EngineError
from ..devices import DeviceChoice, open_decoder
from ..probe import probe
from ..protocols import Closing, Decoder, Frame, FrameIndex, PictureOptions, VideoInfo
from .jpeg import Box, face_jpeg, whole_jpeg
from .kept_index import kept_index
from .recent import Recent

log = logging.getLogger(__name__)

IMAGE_BYTES, JPEG_BYTES = 192 << 20, 96 << 20
AHEAD = 16  # frames that are read ahead forward: a step of ten, and a little more
BEFORE = 20  # pictures that are kept before one that was sought
NEAR, BLOCK = 24, 60  # stepping back, so near to the last known frame so many more are read at once
USUAL_WIDTH, USUAL_FACE = 960, 160  # of what is read ahead before a size has been asked for
JUMP = 50  # frames: further is no step, and tells no direction
FOR_EYES = PictureOptions(depth=8, deinterlace=True, tone_map=True)


@dataclass(frozen=True)
class Expected:
    """What will be asked for soon.

    Attributes:
        frame: The frame.
        faces: Boxes of faces in it, x1, y1, x2, y2 in displayed pixels.
    """

    frame: int
    faces: tuple[Box, ...] = ()


class _Wish:
    """A frame that somebody waits for, and what has come of it."""

    def __init__(self, frame: int, asker: str | None, serial: int):
        self.frame, self.asker, self.serial = frame, asker, serial
        self.image: Any = None
        self.error: DftError | None = None
        self.done = threading.Event()

    def settle(self, image: Any = None, error: DftError | None = None) -> None:
        self.image, self.error = image, error
        self.done.set()


@dataclass(frozen=True)
class _Task:
    """What the thread does next: read up to frame ``last``, and keep what comes from ``first`` on."""

    first: int
    last: int
    wished: bool
    faces: tuple[Box, ...] = ()


class Stills(Closing):
    """Frames of one video by number, as JPEG of the upright picture in square pixels, tone-mapped to SDR.

    Any number of threads may ask at once.

    Args:
        path: The video.
        key: What tells the file's content, under which its index is kept for the next time; it is not kept if None.
        threads: CPU threads, or None for all.

    Attributes:
        info: Facts of the video.

    Raises:
        VideoError: The file cannot be read. What is found wrong later is raised where a frame is asked for.
    """

    def __init__(self, path: Path, *, key: str | None = None, threads: int | None = None):
        self.info: VideoInfo = probe(path)
        self._key, self._threads = key, threads
        self._index: FrameIndex | None = None
        self._error: DftError | None = None
        self._changed = threading.Condition()
        self._wishes: list[_Wish] = []
        self._expected: list[Expected] = []
        self._missing: set[int] = set()
        self._images: Recent[Any] = Recent(IMAGE_BYTES)
        self._jpegs: Recent[bytes] = Recent(JPEG_BYTES)
        self._width, self._face_size = USUAL_WIDTH, USUAL_FACE
        self._latest, self._forward = -1, True
        self._closing = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="dft-stills", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and release the file; who waits gets an ``EngineError``."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    @overload
    def index(self) -> FrameIndex: ...

    @overload
    def index(self, patience_seconds: float) -> FrameIndex | None: ...

    def index(self, patience_seconds: float | None = None) -> FrameIndex | None:
        """Every frame; waits until the file has been scanned, and gives None if that takes longer than it may.

        Raises:
            VideoError: The file cannot be read.
        """
        if not self._ready.wait(patience_seconds):
            return None
        if self._index is None:
            raise self._error or self._closed()
        return self._index

    def frame(self, frame: int, width: int = 0, asker: str | None = None, serial: int = 0) -> bytes | None:
        """A frame as JPEG.

        Args:
            frame: Its index.
            width: Width of the picture, in its own size if 0.
            asker: Who is to see it now. Of the wishes of one asker that wait, the one of the highest serial counts and
                the others are dropped, and what is read ahead follows them. Wishes of None, for later, come last.
            serial: Number of the wish, rising.

        Returns:
            The JPEG; None if the wish was dropped.

        Raises:
            IndexError: There is no such frame.
            CorruptVideoError: It is damaged.
            VideoError: The file cannot be read.
        """
        self._check(frame)
        with self._changed:
            if asker is not None:
                if not self._is_newest(asker, serial):
                    return None
                self._step_to(frame)
            self._width = width or self._width
            found = self._jpegs.get((frame, width))
        if found is not None:
            return found
        image = self._image(frame, asker, serial)
        return None if image is None else self._whole(frame, width, image)

    def face(self, frame: int, box_xyxy: Box, size: int) -> bytes:
        """Head and shoulders around a face, as JPEG ``size`` pixels wide and high; raises as :meth:`frame`."""
        self._check(frame)
        with self._changed:
            self._face_size = size
            found = self._jpegs.get((frame, box_xyxy, size))
        return found or self._face(frame, box_xyxy, size, self._image(frame))

    def expect(self, expected: Sequence[Expected]) -> None:
        """Say what will be asked for next, the most urgent first; it is made when nobody waits."""
        with self._changed:
            self._expected = list(expected)
            self._changed.notify_all()

    # -- of those who ask

    def _check(self, frame: int) -> None:
        if not 0 <= frame < len(self.index()):
            raise IndexError(f"there is no frame {frame}")

    def _is_newest(self, asker: str, serial: int) -> bool:
        """Whether a wish is newer than all of its asker that wait; if so, these are dropped."""
        others = [wish for wish in self._wishes if wish.asker == asker]
        if any(wish.serial > serial for wish in others):
            return False
        self._settle(others)
        return True

    def _step_to(self, frame: int) -> None:
        """Remember where the steps lead."""
        step = frame - self._latest
        if step:
            self._forward = step > 0 or step < -JUMP
        self._latest = frame
        self._changed.notify_all()

    def _image(self, frame: int, asker: str | None = None, serial: int = 0) -> Any:
        """The decoded picture; None if the wish was dropped."""
        with self._changed:
            image = self._images.get(frame)
            if image is not None:
                return image
            if self._closing or self._error is not None:
                raise self._error or self._closed()
            if frame in self._missing:
                raise self._damaged(frame)
            wish = _Wish(frame, asker, serial)
            self._wishes.append(wish)
            self._changed.notify_all()
        wish.done.wait()
        if wish.error is not None:
            raise wish.error
        return wish.image

    def _whole(self, frame: int, width: int, image: Any) -> bytes:
        made = whole_jpeg(image, self.info, width)
        with self._changed:
            self._jpegs.put((frame, width), made, len(made))
        return made

    def _face(self, frame: int, box_xyxy: Box, size: int, image: Any) -> bytes:
        made = face_jpeg(image, self.info, box_xyxy, size)
        with self._changed:
            self._jpegs.put((frame, box_xyxy, size), made, len(made))
        return made

    def _damaged(self, frame: int) -> DftError:
        return CorruptVideoError(f"frame {frame} of {self.info.path.name} is damaged", hint="look at the next one")

    def _closed(self) -> DftError:
        return EngineError(f"{self.info.path.name} has been closed")

    # -- of the thread

    def _work(self) -> None:
        path, device = self.info.path, DeviceChoice("cpu", "for eyes")
        try:
            self._index = kept_index(path, self._key)
            with open_decoder(path, device, self._threads, FOR_EYES, self._index) as decoder:
                self.info = decoder.info  # colours as they come out
                self._ready.set()
                self._serve(_Reader(decoder, self._missing))
            self._fail(self._closed())
        except DftError as error:
            self._fail(error)
        except Exception as error:  # whoever waits must hear of it
            log.exception("decoding %s has failed", path)
            self._fail(EngineError(f"{path} cannot be decoded", got=repr(error)))

    def _fail(self, error: DftError) -> None:
        with self._changed:
            self._error = error
            self._settle(self._wishes, error=error)
            self._ready.set()

    def _serve(self, reader: _Reader) -> None:
        while True:
            with self._changed:
                task = self._next_task(reader.index)
                while task is None and not self._closing:
                    self._changed.wait()
                    task = self._next_task(reader.index)
                if task is None or self._closing:
                    return
            self._run(task, reader)

    def _run(self, task: _Task, reader: _Reader) -> None:
        """Read frames until the task is done, or something else is more urgent."""
        for frame in reader.read(task.first, task.last):
            if not task.wished and frame.frame_index >= task.first:
                self._make(task, frame)
            with self._changed:
                if frame.frame_index >= task.first:
                    self._images.put(frame.frame_index, frame.image, self._image_bytes())
                self._settle([w for w in self._wishes if w.frame == frame.frame_index], image=frame.image)
                urgent = self._urgent()
                if self._closing or (urgent is not None and not (task.wished and urgent == task.last)):
                    return
        with self._changed:
            for frame_index in {wish.frame for wish in self._wishes} & self._missing:
                damaged = [wish for wish in self._wishes if wish.frame == frame_index]
                self._settle(damaged, error=self._damaged(frame_index))

    def _make(self, task: _Task, frame: Frame) -> None:
        """The JPEGs that will be asked for."""
        self._whole(frame.frame_index, self._width, frame.image)
        if frame.frame_index == task.last:
            for box_xyxy in task.faces:
                self._face(frame.frame_index, box_xyxy, self._face_size, frame.image)

    def _settle(self, wishes: list[_Wish], image: Any = None, error: DftError | None = None) -> None:
        for wish in wishes:
            wish.settle(image, error)
        self._wishes = [wish for wish in self._wishes if not wish.done.is_set()]

    def _image_bytes(self) -> int:
        return self.info.width * self.info.height * 3 // 2

    def _next_task(self, index: FrameIndex) -> _Task | None:
        frame = self._urgent()
        if frame is not None:
            before = min(BEFORE, IMAGE_BYTES // self._image_bytes() // 3)
            return _Task(max(frame - before, 0), frame, wished=True)
        return self._step_task(index) or self._expected_task(index)

    def _urgent(self) -> int | None:
        """The frame that is waited for most."""
        for wish in reversed(self._wishes):
            if wish.asker is not None:
                return wish.frame
        return self._wishes[0].frame if self._wishes else None

    def _step_task(self, index: FrameIndex) -> _Task | None:
        """What the next steps will need."""
        latest = self._latest
        if latest < 0:
            return None
        if self._forward:
            unknown = self._unknown(range(latest + 1, min(latest + 1 + AHEAD, len(index))))
            return _Task(unknown[0], unknown[-1], wished=False) if unknown else None
        unknown = self._unknown(range(latest - 1, max(latest - 1 - NEAR, -1), -1))
        if not unknown:
            return None
        return _Task(max(unknown[0] + 1 - BLOCK, _keyframe(index, unknown[0])), unknown[0], wished=False)

    def _expected_task(self, index: FrameIndex) -> _Task | None:
        while self._expected:
            expected = self._expected[0]
            frame, faces = expected.frame, tuple(f for f in expected.faces if not self._has_face(expected.frame, f))
            if frame not in self._missing and frame < len(index) and (faces or not self._has_whole(frame)):
                return _Task(frame, frame, wished=False, faces=faces)
            self._expected.pop(0)
        return None

    def _unknown(self, frames: range) -> list[int]:
        return [
            frame for frame in frames if not (self._has_whole(frame) or frame in self._images or frame in self._missing)
        ]

    def _has_whole(self, frame: int) -> bool:
        return (frame, self._width) in self._jpegs

    def _has_face(self, frame: int, box_xyxy: Box) -> bool:
        return (frame, box_xyxy, self._face_size) in self._jpegs


class _Reader:
    """Goes through the video in order as long as that is no longer than seeking.

    Args:
        decoder: Of the video.
        missing: Is filled with the frames that turn out to be damaged.
    """

    def __init__(self, decoder: Decoder, missing: set[int]):
        self.index, self._missing = decoder.index, missing
        self._decoder = decoder
        self._running: Iterator[Frame] = iter(())
        self._next = len(self.index)

    def read(self, first: int, last: int) -> Iterator[Frame]:
        """Frames up to ``last``, from ``first`` or another one on: what a run that goes on gave before is left out."""
        if not _keyframe(self.index, first) <= self._next <= last:
            self._running, self._next = self._decoder.frames(first), first
        while self._next <= last:
            frame = next(self._running, None)
            reached = len(self.index) if frame is None else frame.frame_index
            self._missing.update(range(self._next, reached))
            self._next = reached + 1
            if frame is not None:
                yield frame


def _keyframe(index: FrameIndex, frame: int) -> int:
    """Where decoding must start for ``frame``."""
    keys = np.flatnonzero(index.keyframe[: frame + 1])
    return int(keys[-1]) if index.seekable and len(keys) else 0
