"""The camera's zoom: it stands still, or it moves smoothly; its place is the business of ``follow.py``.

The whole video is known, so the path is found for all times at once, and nothing lags.

1. The face's positions are brought to a regular grid in real time, so a variable frame rate makes no difference,
   and are averaged over a short time for step 2, so that noise and a quick nod move nothing.
2. The grid is cut into the fewest runs in which the face stays within the still zone. In a long run the camera's
   target is one level, with the face in the middle; in between, it is the face itself.
3. The path is the target averaged with a bell of twice the time constant. A positive kernel makes no movement that
   the target does not make: no swing back before a move, none past its end, none beyond the target's range (it is
   variation diminishing: Schoenberg, "On smoothing operations and their generating functions", 1953). With the
   raised cosine (Hann) a move begins and ends without a step in speed or acceleration. Where the whole bell sees
   one level the camera stands exactly still.
4. The grid's values are the control points of a uniform cubic B-spline, which is read at the frames' times.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, maximum_filter1d, minimum_filter1d

Values = NDArray[np.float64]

POINTS_PER_CONSTANT = 16
MIN_STEP_SECONDS = 0.01
LIGHT = 0.5  # half width of the short average, in time constants
MIN_HOLD = 2.5  # shortest run with a level of its own, in time constants: a move takes two


def smooth_path(times_seconds: Values, centre: Values, tolerance: float, constant_seconds: float) -> Values:
    """A smooth path, such as that of the logarithm of the size.

    Args:
        times_seconds: ``(N,)`` float64, not descending.
        centre: ``(N,)`` float64 values of the face in any unit; NaN where it is not seen. There the camera
            waits where it is, and before the first sight where the face will be.
        tolerance: Half width of the still zone, in the unit of ``centre``.
        constant_seconds: Time constant; a move from one place to another takes two.

    Returns:
        ``(N,)`` float64 positions of the camera; NaN throughout where ``centre`` is.
    """
    times_seconds, centre = np.asarray(times_seconds, np.float64), np.asarray(centre, np.float64)
    seen = np.flatnonzero(np.isfinite(centre))
    if len(seen) == 0:
        return np.full(len(centre), np.nan)
    step = max(constant_seconds / POINTS_PER_CONSTANT, MIN_STEP_SECONDS)
    reach = max(1, round(constant_seconds / step))
    position = (times_seconds - times_seconds[0]) / step
    grid = np.interp(np.arange(int(np.ceil(position[-1])) + 1), position, _held(centre, seen))
    target = _target(_averaged(grid, round(LIGHT * reach)), tolerance, reach)
    return _spline(_averaged(target, reach), position)


def eased(times_seconds: Values, path: Values, seconds: float) -> Values:
    """``path`` averaged in real time with a raised cosine that reaches ``seconds`` to each side.

    A path whose acceleration has steps gets one without; what stands still for long enough stays exactly as it is. At
    its ends the path is taken to go on as it does.

    Args:
        times_seconds: ``(N,)`` float64, not descending.
        path: ``(N,)`` float64 positions.
        seconds: Half width of the average.
    """
    step = max(seconds / POINTS_PER_CONSTANT, MIN_STEP_SECONDS)
    position = times_seconds / step
    position = position - np.floor(position[0])  # points lie at whole steps of the clock, wherever the path begins
    reach = max(1, round(seconds / step) - 1)
    beyond = reach + 3  # the spline looks two points further
    grid = np.interp(np.arange(int(np.ceil(position[-1])) + 1), position, path)
    if len(grid) > 1:
        grid = np.pad(grid, beyond, mode="reflect", reflect_type="odd")
        position = position + beyond
    return _spline(_averaged(grid, reach), position)


def _held(centre: Values, seen: NDArray[np.intp]) -> Values:
    """Each frame's last seen position; the first one before that."""
    before = np.searchsorted(seen, np.arange(len(centre)), side="right") - 1
    held: Values = centre[seen[np.maximum(before, 0)]]
    return held


def _averaged(values: Values, reach: int) -> Values:
    """``values`` averaged with a raised cosine that ends ``reach`` + 1 points to each side; constants stay exact."""
    if reach == 0:
        return values
    bell = np.hanning(2 * reach + 3)[1:-1]
    averaged: Values = convolve1d(values, bell / bell.sum(), mode="nearest")
    width = len(bell)
    constant = minimum_filter1d(values, width, mode="nearest") == maximum_filter1d(values, width, mode="nearest")
    return np.where(constant, values, averaged)


def _target(values: Values, tolerance: float, reach: int) -> Values:
    """``values``, with each long run within the still zone brought to one level."""
    target = values.copy()
    for first, end in _still_runs(values, 2 * tolerance):
        if end - first < min(round(MIN_HOLD * reach), len(values)):
            continue
        # at the run's ends the camera moves, and the face often too: they do not count for the level
        core = values[first + reach * (first > 0) : end - reach * (end < len(values))]
        level = float(np.clip(np.median(core), core.max() - tolerance, core.min() + tolerance))
        slack = tolerance * (1 + 1e-9)
        run = values[first:end]
        target[first:end] = np.clip(level, run - slack, run + slack)
    return target


def _still_runs(values: Values, width: float) -> list[tuple[int, int]]:
    """Cut ``values`` into the fewest runs ``[first, end)`` that each span at most ``width``."""
    runs, first = [], 0
    while first < len(values):
        end = first + _still_length(values[first:], width)
        runs.append((first, end))
        first = end
    return runs


def _still_length(values: Values, width: float) -> int:
    """How many of ``values``, at least one, span at most ``width``."""
    size = 64
    while True:
        window = values[:size]
        span = np.maximum.accumulate(window) - np.minimum.accumulate(window)
        length = int(np.searchsorted(span, width, side="right"))
        if length < len(window) or len(window) == len(values):
            return length
        size *= 4


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
