"""One axis of the camera: the calmest path that keeps the face near its place, at rest on whole pixels.

The path is found in two steps. The first takes a tenth of a second as one and only says where the camera rests, and at
what level. Its long rests are brought to whole pixels and end at whole steps of the clock. From then on they are fixed,
and what is between two of them does not depend on what lies beyond: an edit of the tracks changes nothing a few rests
away, not even by the little that would never be seen and would still make other pixels.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .l1 import DEFAULT_WEIGHTS, L1Weights, l1_path
from .smooth import eased

Values = NDArray[np.float64]

WEIGHTS_SECONDS = 0.8  # the time constant that l1.py's weights are for
BRIEF = 1.0  # excursions shorter than this, in time constants, are not followed
LAG = 0.33  # share of the way that the face makes in two time constants by which the camera may be off
SPARE = 0.25  # of the tube's width, by which the target keeps from its edges: along an edge the camera would creep
APPROACH = 2.5  # how long the camera may take to give way to somebody, in time constants
EASE = 0.25  # half width of the average that rounds the path's corners, in time constants
EASE_REACH = 0.5 * EASE  # where four fifths of its weight are
MIN_REST_SECONDS = 0.2  # shorter rests are turning points, and stay where they are
COARSE = 0.125  # what is taken as one in the first step, in time constants
PIN_STEP = 0.625  # rests are fixed from and to whole steps of the clock, in time constants
PIN_MARGIN = 0.25  # this far within the rest, in time constants
PIN_FRAMES = 4  # that hold an end of a piece: place, speed and acceleration, and one for the jerk
LEVEL_STEP = 1 / 256  # of rests where there is no grid, in face heights
SAME_TIME_SECONDS = 1e-9


@dataclass(frozen=True)
class Tube:
    """Where the camera may be.

    Attributes:
        times_seconds: ``(N,)`` float64, not descending; at one time there is one place.
        low: ``(N,)`` float64 least positions in pixels.
        high: ``(N,)`` float64 greatest positions.
        target: ``(N,)`` float64 where it is best to be.
        care: ``(N,)`` float64 how much that counts, 0..1.
    """

    times_seconds: Values
    low: Values
    high: Values
    target: Values
    care: Values

    def __len__(self) -> int:
        return len(self.times_seconds)

    def at(self, starts: NDArray[np.intp]) -> "Tube":
        """The tube with the frames from each of ``starts`` to the next as one, between them where they disagree."""
        low, high = np.maximum.reduceat(self.low, starts), np.minimum.reduceat(self.high, starts)
        low, high = np.where(low > high, (low + high) / 2, [low, high])
        target, care = np.add.reduceat([self.target, self.care], starts, axis=1) / np.diff([*starts, len(self)])
        return Tube(self.times_seconds[starts], low, high, target, care)


@dataclass(frozen=True)
class Range:
    """Where something may lie: ``low`` and ``high`` are ``(N,)`` float64 pixels, or one number for all frames."""

    low: Values | float
    high: Values | float


@dataclass(frozen=True)
class Zone:
    """How far from its place the face may be.

    Attributes:
        still: In pixels.
        quick: In pixels, where it goes far at once: to stay behind and to be there before it makes a calmer camera, and
            nobody looks for a walking face in the middle. Not less than ``still``.
    """

    still: float
    quick: float

    def at(self, travel: Values) -> Values:
        """The distance allowed where the face travels so far in two time constants."""
        return np.clip(LAG * travel, self.still, max(self.still, self.quick))


@dataclass(frozen=True)
class Bounds:
    """Where the camera may be for other reasons than the face's place; the first counts most.

    Attributes:
        picture: Where the crop lies inside the picture.
        whole: Where it holds the whole face.
        clear: Where it holds nobody else's face; infinite where that is not asked for.
    """

    picture: Range
    whole: Range
    clear: Range = Range(-np.inf, np.inf)


def tube_around(times_seconds: Values, centre: Values, zone: Zone, smooth_seconds: float, bounds: Bounds) -> Tube:
    """The tube around a face.

    A nod, a toss of the head, a wrong box: what is over in a time constant does not bend the tube, as long as the whole
    face stays in the crop. Every longer excursion does.

    Args:
        times_seconds: ``(N,)`` float64, not descending.
        centre: ``(N,)`` float64 where the camera sees the face in its place; NaN where nobody is seen. There the tube
            is as wide as the picture, and the target goes evenly from the last place to the next.
        zone: Half width of the tube. Where somebody else's face is kept out, the tube gives way to it, and is at least
            half as wide.
        smooth_seconds: The time constant.
        bounds: They count more than the zone.
    """
    seen, picture = np.isfinite(centre), bounds.picture
    target = np.interp(times_seconds, times_seconds[seen], centre[seen])
    tolerance = zone.at(_travel(times_seconds, target, smooth_seconds))
    low = -_without_dips(times_seconds, tolerance - target, BRIEF * smooth_seconds)
    high = _without_dips(times_seconds, target + tolerance, BRIEF * smooth_seconds)
    low, high = _cleared(times_seconds, low, high, bounds.clear, zone.still, smooth_seconds)
    spare = np.where(np.isfinite(high - low), SPARE * (high - low), 0)
    target = np.clip(target, low + spare, high - spare)
    least, greatest = _narrowed(times_seconds, bounds.whole, smooth_seconds)
    low, high = np.clip(low, least, greatest), np.clip(high, least, greatest)
    low, high = np.where(seen, low, -np.inf), np.where(seen, high, np.inf)
    low, high = (np.clip(edge, picture.low, picture.high) for edge in (low, high))
    care = (zone.still / tolerance) ** 2 if zone.still > 0 else np.ones(len(target))
    return Tube(times_seconds, low, high, np.clip(target, picture.low, picture.high), care)


def _cleared(
    times: Values, low: Values, high: Values, clear: Range, width: float, smooth_seconds: float
) -> tuple[Values, Values]:  # fmt: skip
    """Low and high moved inside ``clear``, but for what is brief, and at least ``width`` apart.

    Before and after, the tube leaves room for the way there and back.
    """
    least, greatest = (np.broadcast_to(edge, times.shape) for edge in (clear.low, clear.high))
    first, end = _around(times, APPROACH * smooth_seconds)
    if np.isfinite(greatest).any():
        greatest = _without_dips(times, greatest, BRIEF * smooth_seconds)
        low, high = np.minimum(low, -_highest(-greatest, first, end) - width), np.minimum(high, greatest)
    if np.isfinite(least).any():
        least = -_without_dips(times, -least, BRIEF * smooth_seconds)
        low, high = np.maximum(low, least), np.maximum(high, _highest(least, first, end) + width)
    return low, np.maximum(low, high)


def _narrowed(times: Values, limits: Range, smooth_seconds: float) -> tuple[Values, Values]:
    """Low and high with those nearby, as far as they leave room, so that the path still keeps to them when averaged.

    Limits that are not finite are none. Where low is above high, both are their middle.
    """
    low, high = (np.broadcast_to(edge, times.shape) for edge in (limits.low, limits.high))
    low, high = np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf)
    close = EASE_REACH * smooth_seconds
    first, end = _around(times, close)
    strict_low, strict_high = _highest(low, first, end), -_highest(-high, first, end)
    room = strict_low <= strict_high
    low, high = np.where(room, strict_low, low), np.where(room, strict_high, high)
    crossed = low > high
    middle = (low[crossed] + high[crossed]) / 2
    low[crossed], high[crossed] = middle, middle
    return low, high


def _travel(times: Values, target: Values, seconds: float) -> Values:
    """How far the face comes in ``seconds`` to each side."""
    first, end = _around(times, seconds)
    return _highest(target, first, end) + _highest(-target, first, end)


def _around(times: Values, seconds: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The frames at most ``seconds`` away, from the first to before the end."""
    seconds += SAME_TIME_SECONDS
    return np.searchsorted(times, times - seconds), np.searchsorted(times, times + seconds, side="right")


def _highest(values: Values, first: NDArray[np.intp], end: NDArray[np.intp]) -> Values:
    """The highest of ``values[first:end]`` for each of ``(N,)`` windows that hold at least one value.

    Two blocks whose length is a power of two cover any window (Bender and Farach-Colton: "The LCA problem revisited",
    2000), so a window costs the same whatever its length, and may be any stretch of real time.
    """
    power = np.frexp(end - first)[1] - 1  # floor of the binary logarithm
    blocks = values.copy()
    highest = np.empty(len(first))
    for level in range(int(power.max(initial=-1)) + 1):
        here = np.flatnonzero(power == level)
        highest[here] = np.maximum(blocks[first[here]], blocks[end[here] - 2**level])
        blocks[: -(2**level)] = np.maximum(blocks[: -(2**level)], blocks[2**level :])
    return highest


def _without_dips(times: Values, values: Values, seconds: float) -> Values:
    """``values`` with every dip shorter than ``seconds`` filled: a closing by a flat window, in real time.

    At the ends half the window is enough.
    """
    start, end, half = times[0], times[-1], seconds / 2
    frames = np.arange(len(times))
    ends = np.searchsorted(times, times + seconds + SAME_TIME_SECONDS, side="right")
    highest = _highest(values, frames, ends)  # in the window that begins with each frame
    highest[times > max(end - half, start)] = np.inf
    filled = -_highest(-highest, np.searchsorted(ends, frames, side="right"), frames + 1)
    early = np.flatnonzero(times <= start + seconds)  # also in windows that began before the start
    last = np.maximum(np.searchsorted(times, start + half, side="right") - 1, early)
    filled[early] = np.minimum(filled[early], np.maximum.accumulate(values)[last])
    return filled


def weights_for(smooth_seconds: float) -> L1Weights:
    """The weights of l1.py in another time constant: the same video played slower gives the same path, slower."""
    pace = smooth_seconds / WEIGHTS_SECONDS
    usual = DEFAULT_WEIGHTS
    return replace(
        usual,
        acceleration=usual.acceleration * pace,
        jerk=usual.jerk * pace**2,
        centring=usual.centring / pace,
    )


def follow(tube: Tube, smooth_seconds: float, unit: float, grid: float | None = None, origin: float = 0.0) -> Values:
    """The camera's path through a tube.

    Args:
        tube: Where it may be.
        smooth_seconds: Time constant.
        unit: Height of the face in pixels.
        grid: The camera rests at whole multiples of this from ``origin``, or anywhere if None. The path may leave the
            tube by half of it.
        origin: See ``grid``.

    Returns:
        ``(N,)`` float64 positions.
    """
    new = np.diff(tube.times_seconds, prepend=-np.inf) > SAME_TIME_SECONDS
    single = tube.at(np.flatnonzero(new))
    model = _Model(weights_for(smooth_seconds), smooth_seconds, unit)
    path = _path(single, model, grid if grid is not None else LEVEL_STEP * unit, origin)
    path = eased(single.times_seconds, path, EASE * smooth_seconds)
    if grid is not None:
        path = _settled(path - origin, single.times_seconds, grid) + origin
    repeated: Values = path[np.cumsum(new) - 1]
    return repeated


@dataclass(frozen=True)
class _Model:
    """What motion costs.

    Attributes:
        weights: For positions in face heights.
        constant: The time constant in seconds.
        unit: A face height in pixels.
    """

    weights: L1Weights
    constant: float
    unit: float

    def path(self, tube: Tube, starts: NDArray[np.intp] | None = None) -> Values:
        """The calmest paths through a tube, or through each piece of it."""
        return l1_path(
            tube.times_seconds, tube.low, tube.high, tube.target, self.weights,
            care=tube.care, unit=self.unit, starts=starts,
        )  # fmt: skip


@dataclass(frozen=True)
class _Pin:
    """Frames ``first`` to ``last`` in which the camera rests at ``level``."""

    first: int
    last: int
    level: float


def _path(tube: Tube, model: _Model, step: float, origin: float) -> Values:
    """``(N,)`` the camera's path, with its long rests at whole multiples of ``step`` from ``origin``."""
    pins = _pins(tube, model, step, origin)
    low, high, path = tube.low.copy(), tube.high.copy(), np.empty(len(tube))
    for pin in pins:
        held = slice(pin.first, pin.last + 1)
        low[held] = high[held] = path[held] = pin.level
    edge = PIN_FRAMES - 1
    firsts = [0, *(pin.last - edge for pin in pins)]
    ends = [*(pin.first + edge + 1 for pin in pins), len(tube)]
    if pins and pins[0].first == 0:
        firsts, ends = firsts[1:], ends[1:]
    if pins and pins[-1].last == len(tube) - 1:
        firsts, ends = firsts[:-1], ends[:-1]
    if firsts:
        frames = np.concatenate([np.arange(first, end) for first, end in zip(firsts, ends, strict=True)])
        starts = np.cumsum([0, *(end - first for first, end in zip(firsts[:-1], ends[:-1], strict=True))])
        pieces = Tube(tube.times_seconds[frames], low[frames], high[frames], tube.target[frames], tube.care[frames])
        path[frames] = model.path(pieces, starts)
    return path


def _pins(tube: Tube, model: _Model, step: float, origin: float) -> list[_Pin]:
    """The long rests, in order."""
    times = tube.times_seconds
    starts = np.flatnonzero(np.diff(np.floor(times / (COARSE * model.constant) + 1e-6), prepend=-np.inf) > 0)
    coarse = tube.at(starts)
    path = model.path(coarse)
    ends = np.append(starts[1:], len(times))
    pins = []
    for first, last in zip(*_rests(path, coarse.times_seconds), strict=True):
        level = round((float(path[first]) - origin) / step) * step + origin
        begin, end = _within(times, int(starts[first]), int(ends[last]) - 1, model.constant)
        held = slice(begin, end + 1)
        fits = end - begin + 1 >= 2 * PIN_FRAMES
        if fits and tube.low[held].max() - step / 2 <= level <= tube.high[held].min() + step / 2:
            pins.append(_Pin(begin, end, level))
    return pins


def _within(times: Values, first: int, last: int, constant: float) -> tuple[int, int]:
    """The frames of a rest that are fixed: all to the ends of the take, or between whole steps of the clock."""
    step, margin = PIN_STEP * constant, PIN_MARGIN * constant
    if first > 0:
        begin = np.ceil((times[first] + margin) / step) * step
        first = int(np.searchsorted(times, begin - SAME_TIME_SECONDS))
    if last < len(times) - 1:
        end = np.floor((times[last] - margin) / step) * step
        last = int(np.searchsorted(times, end + SAME_TIME_SECONDS, side="right")) - 1
    return first, last


def _settled(path: Values, times: Values, grid: float) -> Values:
    """``path`` with its rests at multiples of ``grid``; what is between them is moved along, more and more."""
    firsts, lasts = _rests(path, times)
    if len(firsts) == 0:
        return path
    levels = path[firsts]
    shift = _rounded(levels, grid) - levels
    rest = np.maximum(np.searchsorted(firsts, np.arange(len(path)), side="right") - 1, 0)
    after = np.minimum(rest + 1, len(firsts) - 1)
    way = np.maximum(times[firsts[after]] - times[lasts[rest]], SAME_TIME_SECONDS)
    share = np.clip((times - times[lasts[rest]]) / way, 0, 1)
    rise = share**3 * (10 - 15 * share + 6 * share**2)  # begins and ends without speed or acceleration
    settled: Values = path + shift[rest] + rise * (shift[after] - shift[rest])
    for first, last, level in zip(firsts, lasts, levels + shift, strict=True):
        settled[first : last + 1] = round(level / grid) * grid  # exactly
    return settled


def _rests(path: Values, times: Values) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """First and last frames of the rests."""
    starts = np.flatnonzero(np.diff(path, prepend=np.nan) != 0)
    ends = np.append(starts[1:], len(path)) - 1
    long = (times[ends] - times[starts] >= MIN_REST_SECONDS) | (ends - starts + 1 == len(path))
    return starts[long], ends[long]


def _rounded(levels: Values, grid: float) -> Values:
    """Multiples of ``grid`` near ``levels``; the one before is kept where the camera has hardly moved."""
    rounded: list[float] = []
    for level in levels:
        near = rounded and abs(level - rounded[-1]) <= grid / 2 * (1 + 1e-9)
        rounded.append(rounded[-1] if near else float(np.round(level / grid)) * grid)
    return np.array(rounded)
