"""The crops of the tiles that are seen together: heads of one size, eyes on one line, and nobody else's face.

What a person's crop is like is decided per person and shot, whichever tile shows them: where a person changes tiles for
a moment, the camera of neither person changes.

- Heads: where the picture is too small for a head as small as wanted, the other's is enlarged as well.
- Eyes: where the picture's edge keeps a face from its level in the tile, the others' are moved as far up or down. Each
  tile has an interval of levels that it can reach, from the median place of the face in the shot; the shift is the
  least that is in all of them, and 0 if there is none.
- The other's face: a crop gives way to it, up to ``REACH`` face heights, as long as the whole own face stays in it. If
  that is not enough in much of the shot, and closer crops would do, both are closer by one of ``CLOSER_STEPS``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...configs.rendering import CameraSettings
from ...trackio.schema import PERSONS
from ...trackio.timecode import format_clock
from .faces import NOBODY, FaceTrack
from .follow import Range
from .framing import Axis, Framing, Shape, Stretch, Take, axes

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
Who = tuple[int, int]
Key = tuple[Who, float, CameraSettings]

NAMELESS = len(PERSONS)  # the number of somebody without a name

MAX_CLOSENESS = 1.5  # how much a head may be enlarged to equal one that the picture cannot show smaller
LEVEL_STEP = 0.01  # levels are told in steps, as sizes are
HEADROOM = 0.55  # of a face's height, that its centre keeps from the crop's edges when its level is moved
REACH = 0.6  # in face heights: how far a face may be from its place so that the other is not seen
CLEARANCE = 0.08  # in face heights: around the other's face
CALM_SECONDS = 4.0  # the camera does not give way to somebody who is near for less
GAP_SECONDS = 10.0  # and keeps giving way, as far as it may, through interruptions that are shorter
CLOSER_STEPS = (1.05, 1.1, 1.15, 1.2, 1.25)
BLOCKED, FREED = 0.3, 0.1  # shares of the shot: closer if giving way fails in more of it, and then in less
LEAST_NOTED = 0.0005  # share of the frames that is told
TOGETHER = 0.5  # share of the shot in which both must be seen for that


@dataclass(frozen=True)
class Seat:
    """One tile.

    Attributes:
        face: Whom it follows.
        others: The other main persons, whether or not a tile follows them.
        framing: How it shows the face.
        takes: Its takes.
    """

    face: FaceTrack
    others: Sequence[FaceTrack]
    framing: Framing
    takes: Sequence[Take]


def paired_crops(seats: Mapping[str, Seat], shot_starts: NDArray[np.int64]) -> dict[str, Values]:
    """The crops of tiles that are seen together.

    Args:
        seats: The tiles.
        shot_starts: ``(S,)`` int64 first frames of the shots; the first is 0.

    Returns:
        ``(N, 4)`` float64 x1, y1, x2, y2 in displayed pixels, for each tile. A take in which nobody is seen shows the
        crop before it, or the first that there is.
    """
    people = _People([track for seat in seats.values() for track in (seat.face, *seat.others)])
    sitters = _sitters(list(seats.values()), people)
    for sitter in sitters.values():
        sitter.stretches = [
            stretch
            for stretch in sitter.framing.stretches(sitter.face, shot_starts)
            if sitter.shown[stretch.frames].any()
        ]
    for shot in sorted({stretch.shot for sitter in sitters.values() for stretch in sitter.stretches}):
        _frame_shot([(sitter, stretch) for sitter in sitters.values() for stretch in sitter.in_shot(shot)])
    return {name: _tile_crops(seat, sitters, people) for name, seat in seats.items()}


@dataclass
class Company:
    """A person and those whom their camera gives way to.

    Attributes:
        face: The person's track, from all tiles.
        others: Those of the others.
        framing: That of the tiles.
    """

    face: FaceTrack
    others: Sequence[FaceTrack]
    framing: Framing


@dataclass
class _Sitter(Company):
    """A person in tiles of one shape.

    Attributes:
        shown: ``(N,)`` where a tile of this shape follows the person.
        crops: ``(N, 4)``, NaN where there are none.
        stretches: What is to be framed.
    """

    shown: Mask
    crops: Values
    stretches: list[Stretch] = field(default_factory=list)

    def in_shot(self, shot: int) -> list[Stretch]:
        """The stretches in a shot."""
        return [stretch for stretch in self.stretches if stretch.shot == shot]


class _People:
    """The persons of some tracks: one has one track, whichever tiles show them.

    Somebody without a name is another on each track, and so is who is at two places at once: that is an error in the
    tracks, and each tile shows what it was given.
    """

    def __init__(self, tracks: Sequence[FaceTrack]):
        distinct = list({id(track): track for track in tracks}.values())
        parts = [(track, person, track.within(track.person == person)) for track in distinct for person in _of(track)]
        self._own = {
            one_person
            for (_, one_person, one), (_, two_person, two) in combinations(parts, 2)
            if one_person == two_person and (np.abs(one.centre_x - two.centre_x) > 0).any()
        } | {NAMELESS}
        self.tracks: dict[Who, FaceTrack] = {}
        for track, person, part in parts:
            who = self.who(track, person)
            self.tracks[who] = self.tracks[who].filled(part) if who in self.tracks else part

    def who(self, track: FaceTrack, person: int) -> Who:
        """A key for the ``person`` on the ``track``."""
        return person, id(track) if person in self._own else 0

    def sitter(self, seat: Seat, person: int) -> Key:
        """The person in a tile, and the shape of the tile."""
        return self.who(seat.face, person), seat.framing.ratio, seat.framing.camera

    def others(self, who: Who) -> list[FaceTrack]:
        """The tracks of the others."""
        nameless = who[0] == NAMELESS
        return [track for key, track in self.tracks.items() if key[0] != who[0] or (nameless and key != who)]


def _of(track: FaceTrack) -> list[int]:
    return [int(person) for person in np.unique(track.person) if person != NOBODY]


def _sitters(seats: Sequence[Seat], people: _People) -> dict[Key, _Sitter]:
    sitters: dict[Key, _Sitter] = {}
    for seat in seats:
        for take in seat.takes:
            if take.person == NOBODY:
                continue
            key, length = people.sitter(seat, take.person), len(seat.face.person)
            if key not in sitters:
                shown, crops = np.zeros(length, bool), np.full((length, 4), np.nan)
                sitters[key] = _Sitter(people.tracks[key[0]], people.others(key[0]), seat.framing, shown, crops)
            sitters[key].shown[take.frames] = True
    return sitters


def _tile_crops(seat: Seat, sitters: Mapping[Key, _Sitter], people: _People) -> Values:
    length = len(seat.face.person)
    crops = np.full((length, 4), np.nan)
    for take in seat.takes:
        if take.person != NOBODY:
            crops[take.frames] = sitters[people.sitter(seat, take.person)].crops[take.frames]
    known = np.flatnonzero(np.isfinite(crops[:, 0]))
    nearest = np.searchsorted(known, np.arange(length), side="right") - 1
    filled: Values = crops[known[np.maximum(nearest, 0)]]
    return filled


def _frame_shot(seen: Sequence[tuple[_Sitter, Stretch]]) -> None:
    """Fill in the crops of all that are seen in a shot."""
    closeness = _closeness(seen)
    shift = _level_shift(seen, closeness)
    for (sitter, stretch), close in zip(seen, closeness, strict=True):
        framing = sitter.framing
        shape = _levelled(sitter, stretch, framing.shape(stretch, close), shift)
        sitter.crops[stretch.frames] = framing.crops(
            sitter.face, stretch, shape, *clear_ranges(sitter, stretch, shape)
        )  # fmt: skip


# ---- size -----------------------------------------------------------------------------------------------------------


def _closeness(seen: Sequence[tuple[_Sitter, Stretch]]) -> list[float]:
    """How much larger than wanted each head is in a shot."""
    needed = [min(sitter.framing.shrinkage(stretch), MAX_CLOSENESS) for sitter, stretch in seen]
    matched = [sitter.framing.camera.match_heads for sitter, _ in seen]
    most = max((one for one, match in zip(needed, matched, strict=True) if match), default=1.0)
    base = [most if match else 1.0 for match in matched]
    groups = [[number for number, match in enumerate(matched) if match]]
    groups += [[number] for number, match in enumerate(matched) if not match]
    made = list(base)
    for group in groups:
        closer = _closer([(*seen[number], base[number]) for number in group])
        for number in group:
            made[number] = max(base[number], min(base[number] * closer, MAX_CLOSENESS))
    return made


def _closer(group: Sequence[tuple[_Sitter, Stretch, float]]) -> float:
    """The least of ``CLOSER_STEPS`` that keeps the others' faces out of much of a shot, or 1."""
    group = [each for each in group if each[0].framing.camera.avoid_other]

    def blocked(closer: float) -> tuple[int, int, int]:
        counts = [(0, 0, 0)]
        for sitter, stretch, base in group:
            shape = sitter.framing.shape(stretch, base * closer)
            for near in _nears(sitter, stretch, shape):
                counts.append((int((near.tight & ~near.free).sum()), int(near.both.sum()), len(near.both)))
        first, second, third = (sum(column) for column in zip(*counts, strict=True))
        return first, second, third

    missed, both, frames = blocked(1.0)
    if both <= TOGETHER * frames or missed <= BLOCKED * both:
        return 1.0
    return next((closer for closer in CLOSER_STEPS if blocked(closer)[0] <= FREED * both), 1.0)


# ---- level ----------------------------------------------------------------------------------------------------------


def _reachable(sitter: _Sitter, stretch: Stretch, shape: Shape) -> tuple[float, float]:
    """The lowest and the highest level at which the picture lets the face be, in the middle of what it does."""
    y, height = float(np.nanmedian(sitter.face.centre_y[stretch.frames])), float(np.median(shape.heights))
    least, most = (y + height - sitter.framing.picture.height) / height, y / height
    return np.ceil(least / LEVEL_STEP - 1e-9) * LEVEL_STEP, np.floor(most / LEVEL_STEP + 1e-9) * LEVEL_STEP


def _level_shift(seen: Sequence[tuple[_Sitter, Stretch]], closeness: Sequence[float]) -> float:
    """By how much the faces of a shot are higher or lower than wanted, all of them, in crop heights."""
    low, high = -np.inf, np.inf
    for (sitter, stretch), close in zip(seen, closeness, strict=True):
        if sitter.framing.camera.match_eyes:
            least, most = _reachable(sitter, stretch, sitter.framing.shape(stretch, close))
            wanted = sitter.framing.camera.face_level
            low, high = max(low, least - wanted), min(high, most - wanted)
    return float(np.clip(0, low, high)) if low <= high else 0.0


def _levelled(sitter: _Sitter, stretch: Stretch, shape: Shape, shift: float) -> Shape:
    """``shape`` with its level shifted, as far as the face has room and the picture reaches."""
    wanted = shape.level
    if not sitter.framing.camera.match_eyes:
        return shape
    room = HEADROOM * float(np.median(stretch.heights / shape.heights))
    level = float(np.clip(wanted + shift, min(wanted, room), max(wanted, 1 - room)))
    least, most = _reachable(sitter, stretch, shape)
    return Shape(shape.widths, shape.heights, float(np.clip(level, least, max(least, most))))


# ---- the other's face -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Near:
    """Another face near a person, through a stretch of ``K`` frames.

    Attributes:
        axis: On which the crop gives way: 0 for x, 1 for y.
        above: ``(K,)`` whether the other is on the high side, to the right or below.
        bound: ``(K,)`` where the camera just does not see the other, or as near as it may come to that.
        both: ``(K,)`` whether both are seen.
        tight: ``(K,)`` whether that is within the zone or beyond it.
        free: ``(K,)`` whether it may go so far that it does not.
    """

    axis: int
    above: Mask
    bound: Values
    both: Mask
    tight: Mask
    free: Mask


def _nears(company: Company, stretch: Stretch, shape: Shape) -> list[_Near]:
    return [_near(company, stretch, shape, other) for other in company.others]


def _near(company: Company, stretch: Stretch, shape: Shape, other: FaceTrack) -> _Near:
    own, theirs = axes(company.face, stretch.frames), axes(other, stretch.frames)
    both = np.isfinite(own[0].centre) & np.isfinite(theirs[0].centre)
    apart = [np.abs(one.centre - two.centre)[both] for one, two in zip(own, theirs, strict=True)]
    axis = int(both.any() and np.median(apart[1]) > np.median(apart[0]))
    unit, extents = stretch.unit, (company.framing.picture.width, company.framing.picture.height)
    margin = CLEARANCE * unit
    before, size = shape.along()[axis]
    me, you = own[axis], theirs[axis]
    above = you.centre > me.centre
    bound = np.where(above, you.low - margin - size, you.high + margin) + before
    way = np.where(above, me.centre - bound, bound - me.centre)  # that the camera has to give
    # the whole face is in the crop, near its place, and the crop in the picture
    least = np.maximum.reduce([me.high + before - size, before, me.centre - REACH * unit])
    greatest = np.minimum.reduce([me.low + before, before + extents[axis] - size, me.centre + REACH * unit])
    free = both & np.where(above, bound >= least, bound <= greatest)
    bound = np.where(above, np.maximum(bound, least), np.minimum(bound, greatest))
    tight = both & (way > -company.framing.camera.still_zone * unit) & _beside(own, theirs, shape, 1 - axis, extents)
    return _Near(axis, above, bound, both, tight, free)


def _beside(
    own: tuple[Axis, Axis], theirs: tuple[Axis, Axis], shape: Shape, axis: int, extents: tuple[int, int]
) -> Mask:  # fmt: skip
    """``(K,)`` whether the crop, with the face in its place, overlaps the other's face on ``axis``."""
    before, size = shape.along()[axis]
    edge = np.clip(own[axis].centre - before, 0, extents[axis] - size)
    return np.asarray((theirs[axis].high > edge) & (theirs[axis].low < edge + size))


def clear_ranges(company: Company, stretch: Stretch, shape: Shape) -> tuple[Range | None, Range | None]:
    """Where the camera may be on x and on y so that it does not see the others, where it gives way to them."""
    if not company.framing.camera.avoid_other:
        return None, None
    length = stretch.end - stretch.first
    low, high = np.full((2, length), -np.inf), np.full((2, length), np.inf)
    for near in _nears(company, stretch, shape):
        gives = near.both & _lasting(near.tight & near.free, company.framing.times_seconds[stretch.frames])
        below, above = gives & ~near.above, gives & near.above
        low[near.axis, below] = np.maximum(low[near.axis, below], near.bound[below])
        high[near.axis, above] = np.minimum(high[near.axis, above], near.bound[above])
    x, y = (Range(low[axis], high[axis]) if np.isfinite([low[axis], high[axis]]).any() else None for axis in (0, 1))
    return x, y


def _lasting(mask: Mask, times_seconds: Values) -> Mask:
    """The runs of ``mask`` that last, short interruptions included."""
    inside = np.flatnonzero(mask)
    kept = np.zeros(len(mask), bool)
    if len(inside) == 0:
        return kept
    breaks = np.flatnonzero(np.diff(times_seconds[inside]) > GAP_SECONDS)
    firsts, lasts = inside[np.append(0, breaks + 1)], inside[np.append(breaks, len(inside) - 1)]
    for first, last in zip(firsts, lasts, strict=True):
        kept[first : last + 1] = times_seconds[last] - times_seconds[first] >= CALM_SECONDS
    return kept


def crowding(crops_xyxy: Values, own: FaceTrack, others: Sequence[FaceTrack]) -> tuple[Mask, Mask]:
    """How often a tile shows somebody else's face.

    Args:
        crops_xyxy: ``(N, 4)`` the tile's crops.
        own: Whom it follows.
        others: The others.

    Returns:
        ``(N,)`` whether somebody else is seen as well, and whether a part of their face box is then in the crop.
    """
    both, crowded = np.zeros((2, len(crops_xyxy)), bool)
    for other in others:
        together = (own.person != NOBODY) & (other.person != NOBODY) & (own.person != other.person)
        x, y = axes(other, slice(None))
        inside = (x.low < crops_xyxy[:, 2]) & (x.high > crops_xyxy[:, 0])
        inside &= (y.low < crops_xyxy[:, 3]) & (y.high > crops_xyxy[:, 1])
        both, crowded = both | together, crowded | (together & inside)
    return both, crowded


def crowd_notes(
    name: str, crops_xyxy: Values, own: FaceTrack, others: Sequence[FaceTrack], times_seconds: Values
) -> list[str]:  # fmt: skip
    """A note if somebody else's face is in the crops, with the longest time; see ``crowding``."""
    both, crowded = crowding(crops_xyxy, own, others)
    share = crowded.sum() / max(both.sum(), 1)
    if share < LEAST_NOTED:
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[False], crowded, [False]]).astype(np.int8))).reshape(-1, 2)
    firsts, lasts = times_seconds[edges[:, 0]], times_seconds[edges[:, 1] - 1]
    longest = int(np.argmax(lasts - firsts))
    first, last = (format_clock(float(times[longest]), 1) for times in (firsts, lasts))
    return [
        f"{name}: the other face is in the crop in {share:.1%} of the frames: the two are too close; the longest time "
        f"is {first} to {last}"
    ]
