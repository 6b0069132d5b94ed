"""CVAT for video XML 1.1: reading, as CVAT itself does it.

The file is parsed as a stream. Document types are refused, because no annotation has one and entities in them are the
way in which XML does harm.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from xml.parsers import expat

import numpy as np

from ...configs.errors import TrackFileNotFoundError, TrackFormatError
from ..columns import UNKNOWN
from ..metadata import VideoRecord
from ..schema import PERSONS, SIDES
from .cvat import KEYFRAMES, NEW_TRACK, PERSON, SIDE, TRACK
from .imported import BYSTANDER, NO_ID, NO_SIDE, Imported, name_code
from .keyframes import ALL, KeyframeChoice, Keyframes, interpolated

_META = ("size", "start_frame", "stop_frame", "frame_filter")
_SHAPES = ("polygon", "polyline", "points", "cuboid", "ellipse", "mask", "skeleton")
_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_UNTOLD = "\0"  # no text of XML is this
_FORMAT_HINT = 'export from CVAT as "CVAT for video 1.1"'


def read_cvat(path: Path, video: VideoRecord) -> Imported:
    """Read what CVAT exported, the XML file or the ZIP archive around it.

    Boxes that are no keyframes are left out, and made anew by linear interpolation.

    Args:
        path: The file.
        video: The video that it is of; a track that does not end goes on to its last frame, or to the task's.

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: It is no such XML, or holds what cannot be kept: other shapes than boxes, turned boxes.
    """
    reader = _Reader(path)
    with _opened(path) as file:
        reader.parse(file)
    return reader.result(video)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith(".xml")]
            if len(names) != 1:
                raise TrackFormatError(
                    f"archive {path}", got=f"{len(names)} XML files", expected="one", hint=_FORMAT_HINT
                )
            with archive.open(names[0]) as file:
                yield file
    except FileNotFoundError as error:
        raise TrackFileNotFoundError(f"there is no file {path}", hint="check the path") from error
    except zipfile.BadZipFile as error:
        raise TrackFormatError(f"archive {path} is damaged", got=error) from error


class _Reader:
    """Collects keyframes while expat reads."""

    def __init__(self, path: Path):
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._open: list[str] = []  # the elements around the place that is read
        self._words = ""
        self._meta: dict[str, str] = {}
        self._track = -1
        self._box: tuple[int, bool, list[float]] | None = None
        self._attribute = ""
        self._names: dict[str, str] = {}
        self._keyframes = ALL
        self._coded: dict[tuple[str, ...], tuple[int, int, int]] = {}
        self._places: list[tuple[int, int, bool]] = []
        self._corners: list[list[float]] = []
        self._values: list[tuple[int, int, int]] = []

    def parse(self, file: IO[bytes]) -> None:
        """Read all of ``file``.

        Raises:
            TrackFormatError: It is no such XML.
        """
        try:
            self._parser.ParseFile(file)
        except (expat.ExpatError, zipfile.BadZipFile, zlib.error) as error:
            raise TrackFormatError(f"{self._path} is not whole XML", got=error, hint=_FORMAT_HINT) from error
        except TrackFormatError:
            raise
        except (KeyError, ValueError) as error:
            raise self._wrong(f"no {error}" if isinstance(error, KeyError) else str(error)) from error

    def result(self, video: VideoRecord) -> Imported:
        """What was read, with the boxes between keyframes."""
        first, last = self._frames(video)
        places = np.array(self._places, np.int64).reshape(-1, 3)
        corners = np.array(self._corners, np.float64).reshape(-1, 4)
        values = np.array(self._values, np.int64).reshape(-1, 3)
        order = np.lexsort((places[:, 1], places[:, 0]))
        keys = Keyframes(places[order, 0], places[order, 1], corners[order], places[order, 2].astype(np.bool_))
        twice = (np.diff(keys.track) == 0) & (np.diff(keys.frame_index) == 0)
        if twice.any():
            row = int(np.flatnonzero(twice)[0])
            raise TrackFormatError(
                f"{self._path}: track {keys.track[row]} has two keyframes in frame {keys.frame_index[row]}",
                expected="each track once per frame",
            )
        # an end may lie one frame behind the video, a face may not
        beyond = ~keys.outside & ((keys.frame_index < 0) | (keys.frame_index >= video.frame_count))
        if beyond.any():
            raise TrackFormatError(
                f"{self._path} is of another video", got=f"a box in frame {keys.frame_index[beyond][0]}",
                expected=f"frames within 0 to {video.frame_count - 1}",
            )  # fmt: skip
        of, frame, boxes = interpolated(keys, last)
        person, side, own = values[order][of].T
        return Imported(
            path=self._path, track=keys.track[of], frame_index=frame, boxes_xyxy=boxes,
            claimed_id=own, person=person.astype(np.int8), side=side.astype(np.int8),
            certain=True, frames=(first, last), keyframes=self._keyframes,
        )  # fmt: skip

    def _frames(self, video: VideoRecord) -> tuple[int, int]:
        """First and last frame that the task or the job is about, in frames of the video."""
        if self._meta.get("frame_filter", "").removeprefix("step=") not in ("", "1"):
            raise TrackFormatError(
                f"{self._path} is of a task that leaves out frames", got=self._meta["frame_filter"],
                expected="every frame", hint="make a task of the whole video, without a frame step",
            )  # fmt: skip
        first = int(self._meta.get("start_frame", 0))
        last = int(self._meta.get("stop_frame", int(self._meta.get("size", video.frame_count)) - 1))
        if not 0 <= first <= last < video.frame_count:
            raise TrackFormatError(
                f"{self._path} is of another video", got=f"a task of the frames {first} to {last}",
                expected=f"frames within 0 to {video.frame_count - 1}",
            )  # fmt: skip
        return first, last

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._open and tag != "annotations":
            raise self._wrong(f"<{tag}>")
        self._open.append(tag)
        self._words = ""
        if tag == "box" and self._track >= 0:
            self._open_box(attributes)
        elif tag == "attribute":
            self._attribute = attributes.get("name", "")  # in <meta> it has none
        elif tag == "track":
            self._track += 1
        elif tag == "image" or (tag in _SHAPES and "track" in self._open):
            raise self._wrong(f"<{tag}>")

    def _open_box(self, attributes: dict[str, str]) -> None:
        if float(attributes.get("rotation", 0)) != 0:
            raise self._wrong(f"a box turned by {attributes['rotation']} degrees")
        self._names = {}
        self._box = None
        if attributes.get("keyframe", "1") == "1":
            corners = [float(attributes[name]) for name in _CORNERS]
            self._box = int(attributes["frame"]), attributes.get("outside", "0") == "1", corners

    def _text(self, words: str) -> None:
        self._words += words

    def _end(self, tag: str) -> None:
        self._open.pop()
        if tag == "attribute" and self._box is not None:
            self._names[self._attribute] = self._words.strip()
        elif tag == "box" and self._box is not None:
            frame, outside, corners = self._box
            self._places.append((self._track, frame, outside))
            self._corners.append(corners)
            self._values.append(self._code())
            self._box = None
        elif tag in _META and self._open[-1] in ("task", "job"):
            self._meta[tag] = self._words.strip()

    def _code(self) -> tuple[int, int, int]:
        """Person, side and track_id that the attributes of the box say."""
        key = tuple(self._names.get(name, _UNTOLD) for name in (PERSON, SIDE, TRACK, KEYFRAMES))
        if key not in self._coded:
            person, side, own, keyframes = key
            where = f"{self._path}, line {self._parser.CurrentLineNumber}"
            self._coded[key] = (
                UNKNOWN if person == _UNTOLD else name_code(person, PERSONS, BYSTANDER, f"{where}, attribute {PERSON}"),
                UNKNOWN if side == _UNTOLD else name_code(side, SIDES, NO_SIDE, f"{where}, attribute {SIDE}"),
                int(own) if own not in ("", NEW_TRACK, _UNTOLD) else NO_ID,
            )
            if keyframes not in ("", ALL, _UNTOLD):  # what is drawn in CVAT has the attribute's default, all
                self._keyframes = str(KeyframeChoice.parse(keyframes))
        return self._coded[key]

    def _doctype(self, *_: Any) -> None:
        raise self._wrong("a document type")

    def _wrong(self, got: str) -> TrackFormatError:
        return TrackFormatError(
            f"{self._path}, line {self._parser.CurrentLineNumber}", got=got,
            expected="tracks of upright boxes in CVAT for video XML 1.1", hint=_FORMAT_HINT,
        )  # fmt: skip
