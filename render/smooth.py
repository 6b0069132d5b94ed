"""The camera's motion along one axis: it stands still, or it moves smoothly.

The whole video is known, so nothing lags: the path is found for all times at once.

1. The face's positions are brought to a regular grid in real time, so a variable frame rate makes no difference,
   and smoothed lightly, so that the noise of detection and a quick nod move nothing.
2. The grid is cut into the fewest runs in which the face stays within the still zone. A run that is long enough
   is a *hold*: there the camera stands exactly still, with the face in the middle.
3. Between holds the path follows the face with the least jerk: penalised least squares (Whittaker and Henderson;
   Eilers, "A perfect smoother", Analytical Chemistry 75, 2003) of third order with the holds as fixed values. With
   that penalty a move begins and ends with neither speed nor acceleration (minimum jerk: Flash and Hogan, "The
   coordination of arm movements", Journal of Neuroscience 5, 1985).
4. The grid's values are the control points of a uniform cubic B-spline, which is read at the frames' times:
   two continuous derivatives, and constant where four control points are equal.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded

Values = NDArray[np.float64]

POINTS_PER_CONSTANT = 16
MIN_STEP_SECONDS = 0.01
LIGHT = 0.5  # the first smoothing's time constant, as a share of the whole
MAX_ROUNDS = 4
JERK = np.array([-1.0, 3.0, -3.0, 1.0])  # third difference


@dataclass(frozen=True)
class Hold:
    """Grid points ``start`` to ``stop`` (not included) at which the camera stands at ``level``."""

    start: int
    stop: int
    level: float


def smooth_path(
    times_seconds: Values,
    centre: Values,
    tolerance: float,
    constant_seconds: float,
    *,
    whole: float | None = None,
) -> Values:
    """The camera's path along one axis.

    Args:
        times_seconds: ``(N,)`` float64, not descending.
        centre: ``(N,)`` float64 positions of the face in any unit; NaN where it is not seen. There the camera
            waits where it is, and before the first sight where the face will be.
        tolerance: Half width of the still zone, in the unit of ``centre``.
        constant_seconds: Time constant of motion: movement with a period of 6.3 times that is followed by half,
            faster movement less.
        whole: Holds lie on whole numbers plus this, or anywhere if None. A camera that stands on whole pixels
            needs no interpolation.

    Returns:
        ``(N,)`` float64 positions of the camera; NaN throughout where ``centre`` is.
    """
    times_seconds, centre = np.asarray(times_seconds, np.float64), np.asarray(centre, np.float64)
    seen = np.flatnonzero(np.isfinite(centre))
    if len(seen) == 0:
        return np.full(len(centre), np.nan)
    step = max(constant_seconds / POINTS_PER_CONSTANT, MIN_STEP_SECONDS)
    num_points = int(np.ceil((times_seconds[-1] - times_seconds[0]) / step)) + 1
    grid = np.interp(np.arange(num_points) * step, times_seconds - times_seconds[0], _held(centre, seen))
    reach = constant_seconds / step
    ease = max(1, round(reach))
    light = _least_jerk(grid, LIGHT * reach, ())
    holds = _holds(light, tolerance, ease, whole)
    points = _least_jerk(grid, reach, holds)
    for _ in range(MAX_ROUNDS):
        shorter = _released(holds, np.abs(points - light) > tolerance, ease)
        if shorter == holds:
            break
        holds = shorter
        points = _least_jerk(grid, reach, holds)
    return _spline(points, (times_seconds - times_seconds[0]) / step)


def _held(centre: Values, seen: NDArray[np.intp]) -> Values:
    """Each frame's last seen position; the first one before that."""
    before = np.searchsorted(seen, np.arange(len(centre)), side="right") - 1
    held: Values = centre[seen[np.maximum(before, 0)]]
    return held


def _holds(values: Values, tolerance: float, ease: int, whole: float | None) -> tuple[Hold, ...]:
    """Where the camera stands: the long runs within the still zone.

    A move needs ``ease`` points at each end of a hold to start and to stop; what is left must be that long too.
    """
    holds = []
    for first, end in _still_runs(values, 2 * tolerance):
        start = first + ease if first > 0 else first
        stop = end - ease if end < len(values) else end
        if stop - start >= min(ease, len(values)):
            run = values[start:stop]
            level = float(np.clip(np.median(run), run.max() - tolerance, run.min() + tolerance))
            holds.append(Hold(start, stop, level if whole is None else round(level - whole) + whole))
    return tuple(holds)


def _released(holds: tuple[Hold, ...], outside: NDArray[np.bool_], ease: int) -> tuple[Hold, ...]:
    """The holds, shorter where the face is out of the zone just before or after: the camera leaves sooner."""
    count = np.concatenate([[0], np.cumsum(outside)])
    kept = []
    for hold in holds:
        late = count[min(hold.stop + ease, len(outside))] > count[hold.stop]
        early = count[hold.start] > count[max(hold.start - ease, 0)]
        half = (ease + 1) // 2
        shorter = Hold(hold.start + half * int(early), hold.stop - half * int(late), hold.level)
        if shorter.stop - shorter.start >= ease or shorter == hold:
            kept.append(shorter)
    return tuple(kept)


def _still_runs(values: Values, width: float) -> list[tuple[int, int]]:
    """Cut ``values`` into the fewest runs ``[first, end)`` that each span at most ``width``."""
    runs, first = [], 0
    while first < len(values):
        end, size = first, 64
        while end - first < size and end < len(values):
            window = values[first : first + size]
            span = np.maximum.accumulate(window) - np.minimum.accumulate(window)
            end = first + int(np.searchsorted(span, width, side="right"))
            size *= 4
            if end - first < len(window):
                break
        runs.append((first, end))
        first = end
    return runs


def _least_jerk(values: Values, reach: float, holds: tuple[Hold, ...]) -> Values:
    """Minimise the squared distance to ``values`` plus ``reach**6`` times the squared third differences.

    Points of a hold lie at its level exactly. ``reach`` is the time constant in points: the smoother passes a
    wave of angular frequency w with 1 / (1 + (w * reach)**6).
    """
    size = len(values)
    fixed, levels = np.zeros(size, bool), np.zeros(size)
    for hold in holds:
        fixed[hold.start : hold.stop] = True
        levels[hold.start : hold.stop] = hold.level
    if size < len(JERK) or fixed.all():
        return np.where(fixed, levels, values)
    bands = _penalty_bands(size) * reach**6
    bands[0] += 1
    right = np.where(fixed, levels, values - _banded_product(bands, levels))
    for offset in range(1, len(bands)):
        bands[offset, :-offset][fixed[:-offset] | fixed[offset:]] = 0
    bands[0][fixed] = 1
    solved: Values = solveh_banded(bands, right, lower=True, check_finite=False)
    return np.where(fixed, levels, solved)


def _penalty_bands(size: int) -> Values:
    """``(4, size)`` lower bands of D'D, where D takes third differences."""
    bands = np.zeros((len(JERK), size))
    num_rows = size - len(JERK) + 1
    for i in range(len(JERK)):
        for j in range(i + 1):
            bands[i - j, j : j + num_rows] += JERK[i] * JERK[j]
    return bands


def _banded_product(bands: Values, vector: Values) -> Values:
    """The symmetric matrix with these lower bands, times ``vector``."""
    product: Values = bands[0] * vector
    for offset in range(1, len(bands)):
        below = bands[offset, :-offset]
        product[offset:] += below * vector[:-offset]
        product[:-offset] += below * vector[offset:]
    return product


def _spline(points: Values, position: Values) -> Values:
    """The uniform cubic B-spline with these control points at ``position``, in points."""
    at = np.clip(position.astype(np.intp), 0, len(points) - 1)
    t = position - at
    last = len(points) - 1
    here = points[at]
    # differences, not a weighted sum: equal points give exactly their value
    return here + (
        (1 - t) ** 3 / 6 * (points[np.maximum(at - 1, 0)] - here)
        + (1 + 3 * t + 3 * t**2 - 3 * t**3) / 6 * (points[np.minimum(at + 1, last)] - here)
        + t**3 / 6 * (points[np.minimum(at + 2, last)] - here)
    )
