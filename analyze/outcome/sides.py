"""Who is left and who is right."""

import numpy as np
from numpy.typing import NDArray

from ...configs.analysis import SideSettings

SIDES = ("left", "right")


def sides_by_identity(num_persons: int) -> NDArray[np.int8]:
    """``(num_persons,)`` int8 side of each person for the whole video: A left, B right, -1 for further persons.

    ``persons.py`` names the one A who is left in most of the frames that show both.
    """
    numbers = np.arange(num_persons, dtype=np.int8)
    return np.where(numbers < len(SIDES), numbers, -1).astype(np.int8)


def a_is_left(
    times_seconds: NDArray[np.float64], x_of_a: NDArray[np.float64], x_of_b: NDArray[np.float64], settings: SideSettings
) -> NDArray[np.bool_]:
    """For every frame, whether A is on the left side and B on the right, following their places.

    The exponential mean of x is taken over real time. Where both are seen, the one further left is left; where one is,
    that person's half of the picture decides. A change needs the margin to be left behind for the holding time.

    Args:
        times_seconds: ``(F,)`` of every frame, ascending.
        x_of_a: ``(F,)`` centre of A's face in frame widths, NaN where unseen.
        x_of_b: ``(F,)`` of B.
        settings: Time constant, holding time and margin.
    """
    mean_a, mean_b = (_running_mean(times_seconds, x, settings.side_mean_seconds) for x in (x_of_a, x_of_b))
    seen_a, seen_b = ~np.isnan(x_of_a), ~np.isnan(x_of_b)
    place = np.where(seen_a & seen_b, (mean_b - mean_a) / 2, np.where(seen_a, 0.5 - mean_a, mean_b - 0.5))
    place = np.where(seen_a | seen_b, place, 0.0)  # positive: A is left
    return _with_hysteresis(times_seconds, place, settings)


def _running_mean(times: NDArray[np.float64], x: NDArray[np.float64], constant: float) -> NDArray[np.float64]:
    """Exponential mean in real time; where x is NaN the mean stands."""
    mean, value, last = np.full(len(x), np.nan), np.nan, 0.0
    for i in np.flatnonzero(~np.isnan(x)):
        share = 1.0 if np.isnan(value) else 1 - np.exp(-(times[i] - last) / constant)
        value = x[i] if np.isnan(value) else value + share * (x[i] - value)
        mean[i], last = value, times[i]
    return mean


def _with_hysteresis(
    times: NDArray[np.float64], place: NDArray[np.float64], settings: SideSettings
) -> NDArray[np.bool_]:
    clear = np.flatnonzero(np.abs(place) > settings.side_margin / 2)
    left = np.full(len(place), True)
    if len(clear) == 0:
        return left
    now, doubt_since = bool(place[clear[0]] > 0), np.inf
    for i, value in enumerate(place):
        against = abs(value) > settings.side_margin / 2 and (value > 0) != now
        doubt_since = min(doubt_since, times[i]) if against else np.inf
        if times[i] - doubt_since >= settings.side_hold_seconds:
            now, doubt_since = not now, np.inf
        left[i] = now
    return left
