"""Main persons that a user has named by a place and a time: ``x,y@time``."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import SettingError
from ...trackio.timecode import format_timecode, parse_timecode
from ..boxes import centres, heights
from .chains import Chain

NEAR_SECONDS = 0.5  # a face this long before or after the time will do
NEAR_HEIGHTS = 1.0  # face heights from the centre of the face


@dataclass(frozen=True)
class NamedPlace:
    """Where a main person is to be seen.

    Attributes:
        x: Pixels, or share of the width where both x and y are below 1.
        y: Pixels, or share of the height.
        seconds: Time from the start of the video.
    """

    x: float
    y: float
    seconds: float


def parse_places(text: str) -> list[NamedPlace]:
    """Read ``x,y@time`` separated by spaces.

    >>> parse_places("480,300@2.5 0.75,0.4@00:01:02.000")[1]
    NamedPlace(x=0.75, y=0.4, seconds=62.0)

    Raises:
        SettingError: It reads otherwise.
    """
    places = []
    for item in text.split():
        try:
            point, time = item.split("@")
            x, y = (float(value) for value in point.split(","))
            place = NamedPlace(x, y, parse_timecode(time))
        except ValueError as error:
            raise _wrong(item) from error
        if not np.isfinite([x, y]).all() or min(x, y, place.seconds) < 0:
            raise _wrong(item)
        places.append(place)
    return places


def _wrong(item: str) -> SettingError:
    return SettingError(
        f"setting main cannot be {item!r}", expected="x,y@time such as 480,300@2.5 or 0.25,0.3@00:00:02.500",
        hint="change --main",
    )  # fmt: skip


def find_named(text: str | None, chains: Sequence[Chain], frame_size: tuple[int, int], people: int) -> list[int]:
    """Positions of the chains that ``text`` names.

    Args:
        text: See :func:`parse_places`; None names nobody.
        chains: Of the whole video.
        frame_size: Displayed width and height in pixels.
        people: How many main persons there are.

    Raises:
        SettingError: It cannot be read, names more than ``people``, or there is no face.
    """
    places = parse_places(text or "")
    if len(places) > people:
        raise SettingError(
            "setting main names too many",
            got=f"{len(places)} places",
            expected=f"at most {people}",
            hint="raise --people",
        )
    return [_find(place, chains, frame_size) for place in places]


def _find(place: NamedPlace, chains: Sequence[Chain], frame_size: tuple[int, int]) -> int:
    point = np.array([place.x, place.y])
    if place.x < 1 and place.y < 1:
        point = point * frame_size
    nearest: tuple[float, int] = (np.inf, -1)
    for i, chain in enumerate(chains):
        for tracklet in chain.tracklets:
            late = np.abs(tracklet.times_seconds - place.seconds)
            at = int(late.argmin())
            if late[at] <= NEAR_SECONDS:
                nearest = min(nearest, (_heights_off(tracklet.boxes_xyxy[at : at + 1], point), i))
    if nearest[0] > NEAR_HEIGHTS:
        found = "no face then" if nearest[1] < 0 else f"the nearest face {nearest[0]:.1f} face heights away"
        raise SettingError(
            f"setting main: nobody is at {point[0]:.0f},{point[1]:.0f} at {format_timecode(place.seconds)}", got=found,
            expected="a face at that place and time", hint="see dft tracks plot for who is where; change --main",
        )  # fmt: skip
    return nearest[1]


def _heights_off(box_xyxy: NDArray[np.float32], point: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(centres(box_xyxy)[0] - point) / max(float(heights(box_xyxy)[0]), 1.0))
