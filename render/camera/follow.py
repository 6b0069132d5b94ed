"""One axis of the camera: the calmest path that keeps the face near its place, at rest on whole pixels."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .l1 import DEFAULT_WEIGHTS, L1Weights, l1_path
from .smooth import eased

Values = NDArray[np.float64]

WEIGHTS_SECONDS = 0.8  # the time constant that l1.py's weights are for
BRIEF = 1.0  # excursions shorter than this, in time constants, are not followed
EASE = 0.25  # half width of the average that rounds the path's corners, in time constants
EASE_REACH = 0.5 * EASE  # where four fifths of its weight are
MIN_REST_SECONDS = 0.2  # shorter rests are turning points, and stay where they are
SAME_TIME_SECONDS = 1e-9


@dataclass(frozen=True)
class Tube:
    """Where the camera may be.

    Attributes:
        times_seconds: ``(N,)`` float64, not descending; at one time there is one place.
        low: ``(N,)`` float64 least positions in pixels.
        high: ``(N,)`` float64 greatest positions.
        target: ``(N,)`` float64 where it is best to be.
    """

    times_seconds: Values
    low: Values
    high: Values
    target: Values

    def __len__(self) -> int:
        return len(self.times_seconds)

    def at(self, starts: NDArray[np.intp]) -> "Tube":
        """The tube with the frames from each of ``starts`` to the next as one, between them where they disagree."""
        low, high = np.maximum.reduceat(self.low, starts), np.minimum.reduceat(self.high, starts)
        low, high = np.where(low > high, (low + high) / 2, [low, high])
        return Tube(self.times_seconds[starts], low, high, self.target[starts])


@dataclass(frozen=True)
class Range:
    """Where something may lie: ``low`` and ``high`` are ``(N,)`` float64 pixels, or one number for all frames."""

    low: Values | float
    high: Values | float


def tube_around(
    times_seconds: Values, centre: Values, tolerance: float, smooth_seconds: float, whole: Range, picture: Range
) -> Tube:
    """The tube around a face.

    A nod, a toss of the head, a wrong box: what is over in a time constant does not bend the tube, as long as the whole
    face stays in the crop. Every longer excursion does.

    Args:
        times_seconds: ``(N,)`` float64, not descending.
        centre: ``(N,)`` float64 where the camera sees the face in its place; NaN where nobody is seen. There the tube
            is as wide as the picture, and the target goes evenly from the last place to the next.
        tolerance: Half width of the tube.
        smooth_seconds: The time constant.
        whole: Where the camera sees the whole face; it counts more than the tolerance.
        picture: Where the crop lies inside the picture; it counts most.
    """
    seen = np.isfinite(centre)
    target = np.interp(times_seconds, times_seconds[seen], centre[seen])
    low = -_without_dips(times_seconds, tolerance - target, BRIEF * smooth_seconds)
    high = _without_dips(times_seconds, target + tolerance, BRIEF * smooth_seconds)
    least, greatest = _narrowed(times_seconds, whole, smooth_seconds)
    low, high = np.clip(low, least, greatest), np.clip(high, least, greatest)
    low, high = np.where(seen, low, -np.inf), np.where(seen, high, np.inf)
    low, high = (np.clip(edge, picture.low, picture.high) for edge in (low, high))
    return Tube(times_seconds, low, high, np.clip(target, picture.low, picture.high))


def _narrowed(times: Values, limits: Range, smooth_seconds: float) -> tuple[Values, Values]:
    """Low and high with those nearby, as far as they leave room, so that the path still keeps to them when averaged.

    Limits that are not finite are none. Where low is above high, both are their middle.
    """
    low, high = (np.broadcast_to(edge, times.shape) for edge in (limits.low, limits.high))
    low, high = np.where(np.isfinite(low), low, -np.inf), np.where(np.isfinite(high), high, np.inf)
    close = EASE_REACH * smooth_seconds
    strict_low, strict_high = -_lowest(times, -low, close), _lowest(times, high, close)
    room = strict_low <= strict_high
    low, high = np.where(room, strict_low, low), np.where(room, strict_high, high)
    crossed = low > high
    middle = (low[crossed] + high[crossed]) / 2
    low[crossed], high[crossed] = middle, middle
    return low, high


def _lowest(times: Values, values: Values, seconds: float) -> Values:
    """The lowest of the ``values`` in ``seconds`` to each side."""
    lowest = values.copy()
    for here, there in _shifts(np.searchsorted(times, times + seconds, side="right")):
        lowest[here] = np.minimum(lowest[here], values[there])
        lowest[there] = np.minimum(lowest[there], values[here])
    return lowest


def _without_dips(times: Values, values: Values, seconds: float) -> Values:
    """``values`` with every dip shorter than ``seconds`` filled: a closing by a flat window, in real time.

    At the ends half the window is enough.
    """
    start, end, half = times[0], times[-1], seconds / 2
    ends = np.searchsorted(times, times + seconds + SAME_TIME_SECONDS, side="right")
    highest = values.copy()  # in the window that begins with each frame
    for here, there in _shifts(ends):
        highest[here] = np.maximum(highest[here], values[there])
    highest[times > max(end - half, start)] = np.inf
    filled = highest.copy()
    for here, there in _shifts(ends):
        filled[there] = np.minimum(filled[there], highest[here])
    early = np.flatnonzero(times <= start + seconds)  # also in windows that began before the start
    last = np.maximum(np.searchsorted(times, start + half, side="right") - 1, early)
    filled[early] = np.minimum(filled[early], np.maximum.accumulate(values)[last])
    return filled


def _shifts(ends: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of each frame and the next, the one after, and so on, as long as that is before its ``ends``."""
    first = np.arange(len(ends))
    for shift in range(1, int((ends - first).max(initial=0))):
        here = first[first + shift < ends]
        yield here, here + shift


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
    path = l1_path(single.times_seconds, single.low, single.high, single.target, weights_for(smooth_seconds), unit=unit)
    path = eased(single.times_seconds, path, EASE * smooth_seconds)
    if grid is not None:
        path = _settled(path - origin, single.times_seconds, grid) + origin
    repeated: Values = path[np.cumsum(new) - 1]
    return repeated


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
