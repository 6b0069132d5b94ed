"""The calmest path inside a tube: still where it can be, and on lines and parabolas where it must move.

After Grundmann, Kwatra, Essa: "Auto-Directed Video Stabilization with Robust L1 Optimal Camera Paths", CVPR 2011. Of
all paths x with low <= x <= high the one is taken that has the least

    velocity * sum |v| dt + acceleration * sum |a| dt + jerk * sum |j| dt + centring / 2 * sum (x - target)^2 dt

where v, a, j are divided differences in real time. Absolute values make most differences exactly zero, so the path is
made of constant, linear and parabolic pieces. The last term is ours: it makes the path unique, rests it in the middle
of what is allowed, and decides how long a move may take.

The quadratic program is solved by a primal-dual interior-point method with Mehrotra's predictor and corrector (Nocedal
and Wright: Numerical Optimization, 2nd edition, 2006, chapters 14 and 16.6). Each absolute value is split, |y| = p + q
with y = p - q; what is left of a Newton step is a symmetric matrix with three bands beside its diagonal. Time and
memory grow with the length alone.

Many short paths are found at once, side by side in the same arrays: each has its own steps, and comes out the same to
the last bit whatever its neighbours are.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpbtrf, dpbtrs

Values = NDArray[np.float64]
Indices = NDArray[np.intp]

log = logging.getLogger(__name__)

MAX_ITERATIONS = 100  # 20 to 50 are usual
START = 1e-3  # complementarity at the start, where tubes are one wide and weights add up to one
PRECISION = 1e-15  # complementarity at the end, in shares of the pull to the target: paths agree to some 1e-9
WEAKEST_PULL = 1e-4  # a weaker centring does not define a path in double precision
# Differences give way by this share of their multipliers in a step, or else rounding drowns the rest of the matrix; the
# multipliers then need more steps. Where that is slow late on, they give way less.
SOFTNESS, HARDEST, LATE, SLOW = 3e-10, 1e-12, 1e-8, 0.7
LARGEST_STEP = 0.99  # share of the way to the nearest bound
FIRM = 1e-9  # a tube narrower than this, in typical widths, leaves no choice
FINEST_WIDTH = 1e-4  # in shares of the whole range: a narrower tube is not typical
IMMOVABLE = 1e30  # curvature at a sample without a choice
STILL_STEP = 1e-6  # in face heights: below this nothing moves
STILL_SPAN = 1e-5  # in face heights: nor does a run that drifts less than this


@dataclass(frozen=True)
class L1Weights:
    r"""What motion costs, for positions in face heights; only ratios matter.

    The paper takes 10, 1 and 100 for differences from frame to frame; at 30 frames a second that is 1 : 1/300 s :
    1/90 s^2 in real time. That suits a stabilizer, which keeps most of the motion. A camera that follows a face should
    glide, so jerk costs three times as much here.

    The numbers were chosen on a simulated seated speaker at 25 frames a second whose face jitters by 0.03 face heights
    and leans by 0.5 every 16 or 26 s, in a tube of 0.25 to each side. The camera then stands still in 63 or 68 % of
    the frames, and its acceleration is 0.085 or 0.07 face heights/s^2 (RMS).

    Attributes:
        velocity: Of \|v\|: one for each face height of way.
        acceleration: Of \|a\|, in seconds. It favours even speed with sudden ends; next to nothing in the paper. None
            of it saves a third of the time.
        jerk: Of \|j\|, in seconds squared. It makes moves ease in and out. With a third of it the camera stands still
            in 6 to 9 % more of the frames and accelerates 1.6 times as much; with three times as much it stands
            still in 9 to 14 % less.
        centring: Of half the squared distance to the target, in 1/s. Where the target goes aside for T seconds the
            camera follows all but 2 / (centring T) of the way, here 0.1 face heights for 10 s. Half of it moves later,
            less and slower, and stands still less.
    """

    velocity: float = 1.0
    acceleration: float = 0.0
    jerk: float = 0.03
    centring: float = 2.0

    def __post_init__(self) -> None:
        values = np.array([self.velocity, self.acceleration, self.jerk, self.centring])
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise ValueError(f"weights must be finite, not negative, and not all zero, got {self}")


DEFAULT_WEIGHTS = L1Weights()


def l1_path(  # noqa: PLR0913 - the columns of a tube
    times_seconds: Values,
    low: Values,
    high: Values,
    target: Values,
    weights: L1Weights = DEFAULT_WEIGHTS,
    *,
    care: Values | None = None,
    unit: float = 1.0,
    starts: Indices | None = None,
) -> Values:
    """The L1-optimal path of one coordinate.

    Runs that the optimum moves by next to nothing are brought to one level each, so that still is exact.

    An edit of the tube moves the levels beside it a little, those beside them much less, and so on: with the default
    weights and a move every 10 s at most some 0.0005 face heights 20 s away, and a tenth of that 40 s away.

    Args:
        times_seconds: ``(N,)`` float64, strictly ascending, at any rate.
        low: ``(N,)`` float64 least positions, in any unit.
        high: ``(N,)`` float64 greatest positions.
        target: ``(N,)`` float64 where it is best to be; outside the tube its edge counts.
        weights: What motion costs.
        care: ``(N,)`` float64 how much of the centring counts at each sample, 0 or more; all of it if not given.
        unit: A face height in the unit of the positions.
        starts: ``(P,)`` ascending indices, from 0 on, at which paths of their own begin; one path if not given.

    Returns:
        ``(N,)`` float64 positions, each within ``low`` and ``high`` to the last bit.

    Raises:
        ValueError: Lengths differ, a number is not finite, times do not ascend, or ``low`` is above ``high``.
    """
    times, low, high, target, care = _checked(
        times_seconds, low, high, target, np.ones(np.shape(times_seconds)) if care is None else care
    )
    if not unit > 0 or not np.isfinite(unit):
        raise ValueError(f"unit must be positive and finite, got {unit}")
    if len(times) == 0:
        return np.empty(0)
    pieces = _Pieces(np.zeros(1, np.intp) if starts is None else starts, len(times))
    path = np.clip(target, low, high)
    pull = weights.centring * care * pieces.seconds(times) / unit
    moves = np.ones(len(times), bool)
    for piece in pieces.slices():
        level = _level(low[piece], high[piece], path[piece], pull[piece], weights.velocity)
        if level is not None:
            path[piece], moves[piece] = level, False
    if moves.any():
        columns = [column[moves] for column in (times, low, high, path, care)]
        path[moves] = _moving(columns, weights, unit, pieces.among(moves))
    return path


def _level(low: Values, high: Values, target: Values, pull: Values, velocity: float) -> float | None:
    """The level of the optimum where it is one.

    That is so where the pulls to the target, summed from the start, never outweigh what a step costs: the sums are the
    multipliers of the differences of first order (KKT conditions, as in Nocedal and Wright, chapter 12).
    """
    total = float(pull.sum())
    level = float((pull * target).sum()) / total if total > 0 else np.inf
    if not low.max() <= level <= high.min():
        return None
    return level if np.abs(np.cumsum(pull * (level - target))).max() <= velocity else None


def _moving(columns: list[Values], weights: L1Weights, unit: float, pieces: "_Pieces") -> Values:
    """The optimal paths by the interior-point method; the columns are those of ``l1_path``, the target inside."""
    times, low, high, target, care = columns
    scales = np.array([_scale(low[piece], high[piece], unit) for piece in pieces.slices()])
    scale, origin = pieces.spread(scales), pieces.spread(low[pieces.starts])
    low_scaled, high_scaled = (low - origin) / scale, (high - origin) / scale
    inside = np.clip((target - origin) / scale, low_scaled, high_scaled)  # rounding may have moved it out
    program = _Program(times, low_scaled, high_scaled, inside, weights, pieces, care * scale / unit)
    path = np.clip(_solve(program) * scale + origin, low, high)
    return _stilled(path, low, high, unit, pieces.starts)


def _checked(*columns: Values) -> list[Values]:
    arrays = [np.asarray(column, np.float64) for column in columns]
    times, low, high, _, care = arrays
    if any(array.ndim != 1 or len(array) != len(times) for array in arrays):
        raise ValueError(f"times, low, high, target and care must be of one length, got {[a.shape for a in arrays]}")
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError("times, low, high, target and care must be finite")
    if (np.diff(times) <= 0).any():
        raise ValueError(f"times must ascend, got {times[1:][np.diff(times) <= 0][0]} after one not less")
    if (low > high).any():
        at = int(np.argmax(low > high))
        raise ValueError(f"low must not be above high, got {low[at]} and {high[at]} at {at}")
    if (care < 0).any():
        raise ValueError(f"care must not be negative, got {care.min()}")
    return arrays


def _scale(low: Values, high: Values, unit: float) -> float:
    """A typical width of the tube; more where it is so narrow that rounding counts."""
    widths = high - low
    typical = float(np.median(widths[widths > 0])) if widths.any() else 0.0
    return max(typical, FINEST_WIDTH * float(high.max() - low.min()), FIRM * unit)


def _stilled(path: Values, low: Values, high: Values, unit: float, firsts: Indices) -> Values:
    """``path`` with every run of tiny differences brought to one level, where one level is allowed."""
    joined = np.abs(np.diff(path)) <= STILL_STEP * unit
    joined[firsts[1:] - 1] = False
    starts = np.flatnonzero(np.concatenate([[True], ~joined]))
    least, greatest = np.minimum.reduceat(path, starts), np.maximum.reduceat(path, starts)
    floor, ceiling = np.maximum.reduceat(low, starts), np.minimum.reduceat(high, starts)
    level = np.clip(least + (greatest - least) / 2, floor, np.maximum(floor, ceiling))
    still = (greatest - least <= STILL_SPAN * unit) & (floor <= ceiling)
    lengths = np.diff(np.append(starts, len(path)))
    return np.where(np.repeat(still, lengths), np.repeat(level, lengths), path)


class _Pieces:
    """Paths side by side: where each of them begins, and sums and minima over each of them.

    Attributes:
        starts: ``(P,)`` first samples.
        lengths: ``(P,)`` numbers of samples.
    """

    def __init__(self, starts: Indices, length: int):
        self.starts, self.lengths = starts, np.diff(np.append(starts, length))

    def slices(self) -> Iterator[slice]:
        """The samples of each path."""
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            yield slice(start, start + length)

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """``(P,)`` values of the paths as ``(N,)`` of their samples."""
        return np.repeat(values, self.lengths)

    def among(self, kept: NDArray[np.bool_]) -> "_Pieces":
        """The paths of the samples ``kept (N,)``, of which each has all or none."""
        lengths = self.lengths[kept[self.starts]]
        return _Pieces(np.cumsum(lengths) - lengths, int(lengths.sum()))

    def seconds(self, times: Values) -> Values:
        """``(N,)`` how long each sample stands for; 1 where it is the only one of its path."""
        gaps = np.diff(times)
        gaps[self.starts[1:] - 1] = 0
        seconds: Values = (np.append(gaps, 0) + np.append(0, gaps)) / 2
        seconds[self.starts[self.lengths == 1]] = 1.0
        return seconds

    def least(self, values: Values) -> Values:
        """``(P,)`` least of ``values`` (R, N)."""
        least: Values = np.minimum.reduceat(values.min(axis=0), self.starts)
        return least

    def mean(self, values: Values) -> Values:
        """``(P,)`` means of ``values`` (R, N), each of which does not depend on the other paths."""
        mean: Values = np.add.reduceat(reduce(np.add, values), self.starts) / (self.lengths * len(values))
        return mean


class _Differences:
    """The weighted differences of paths, ``(K, N)``: for each order that costs something one row beside each sample.

    Rows are scaled to a largest coefficient of one; ``limits`` (K, N) are the weights that they then have, and are the
    bounds of the multipliers of the rows. A row that would reach beyond the path's end is zero.
    """

    def __init__(self, times: Values, weights: Values, pieces: _Pieces):
        length = len(times)
        ends = pieces.spread(pieces.starts + pieces.lengths)
        self.orders: list[Values] = []
        self.limits = np.ones((int(np.count_nonzero(weights)), length))
        for weight, coefficients in zip(weights, _coefficients(times), strict=False):
            if weight == 0:
                continue
            reach = len(coefficients) - 1
            inside = np.arange(length - reach) + reach < ends[: length - reach]
            largest = np.abs(coefficients).max(axis=0)
            rows = np.zeros((reach + 1, length))
            rows[:, : length - reach] = np.where(inside, coefficients / largest, 0)
            self.limits[len(self.orders), : length - reach] = np.where(inside, weight * largest, 1)
            self.orders.append(rows)
        self.limits = self.limits[: len(self.orders)]

    def of(self, path: Values) -> Values:
        """``(K, N)`` differences of the paths (N,)."""
        differences = np.empty(self.limits.shape)
        for rows, found in zip(self.orders, differences, strict=True):
            np.multiply(rows[0], path, out=found)
            for shift, coefficients in enumerate(rows[1:], 1):
                found[:-shift] += coefficients[:-shift] * path[shift:]
        return differences

    def transposed(self, multipliers: Values) -> Values:
        """``(N,)`` forces on the paths of multipliers (K, N)."""
        forces = np.zeros(multipliers.shape[1])
        for rows, own in zip(self.orders, multipliers, strict=True):
            forces += rows[0] * own
            for shift, coefficients in enumerate(rows[1:], 1):
                forces[shift:] += coefficients[:-shift] * own[:-shift]
        return forces

    def normal(self, stiffness: Values, diagonal: Values) -> Values:
        """``(4, N)`` lower bands of the matrix D' diag(stiffness) D + diag(diagonal)."""
        bands = np.zeros((4, len(diagonal)))
        bands[0] = diagonal
        for rows, own in zip(self.orders, stiffness, strict=True):
            for first, coefficients in enumerate(rows):
                weighted = own * coefficients
                for band, other in enumerate(rows[first:]):
                    bands[band, first:] += (weighted * other)[: len(diagonal) - first]
        return bands


def _coefficients(times: Values) -> Iterator[Values]:
    """``(k + 1, N - k)`` coefficients of v dt, a dt and j dt, as far as the path is long enough.

    Each order is the change of the derivative before it: |a| dt sums to the total variation of v.
    """
    spacings = (np.ones(len(times)), np.diff(times), (times[2:] - times[:-2]) / 2)
    previous = np.ones((1, len(times)))
    for spacing in spacings:
        if len(spacing) < 2:
            return
        derivative = previous / spacing
        previous = np.zeros((len(derivative) + 1, len(spacing) - 1))
        previous[1:] += derivative[:, 1:]
        previous[:-1] -= derivative[:, :-1]
        yield previous


class _Program:
    """The quadratic programs, with tubes about one wide and weights that add up to one.

    Args:
        times: ``(N,)``.
        low: ``(N,)``.
        high: ``(N,)``.
        target: ``(N,)``, inside.
        weights: For positions in face heights.
        pieces: The paths.
        care: ``(N,)`` times what the positions were divided by, in face heights.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one column each
        self, times: Values, low: Values, high: Values, target: Values, weights: L1Weights, pieces: _Pieces,
        care: Values,
    ):  # fmt: skip
        costs = np.array([weights.velocity, weights.acceleration, weights.jerk])
        total = float(costs.sum()) or 1.0
        self.pieces = pieces
        self.differences = _Differences(times, costs / total, pieces)
        self.limits = self.differences.limits
        self.pull = np.maximum(weights.centring * care / total, WEAKEST_PULL) * pieces.seconds(times)
        self.middle, self.target = (low + high) / 2, target
        self.firm = high - low <= FIRM  # these stay in the middle, and their bounds are out of the way
        self.low, self.high = np.where(self.firm, self.middle - 1, low), np.where(self.firm, self.middle + 1, high)

    def start(self) -> "_Iterate":
        """Near the target, well inside of all bounds."""
        margin = 0.1 * (self.high - self.low)
        path = np.where(self.firm, self.middle, np.clip(self.target, self.low + margin, self.high - margin))
        differences = self.differences.of(path)
        free = START / self.limits
        slack = np.concatenate([
            np.maximum(differences, 0) + free, np.maximum(-differences, 0) + free, [path - self.low, self.high - path]
        ])  # fmt: skip
        price = np.concatenate([self.limits, self.limits, START / slack[-2:]])
        return _Iterate(path, np.zeros_like(differences), slack, price)


@dataclass
class _Iterate:
    """A point on the way, or a step from one to the next.

    Attributes:
        path: ``(N,)``.
        multipliers: ``(K, N)`` of Dx = p - q.
        slack: ``(2 K + 2, N)`` positive: p, q, x - low, high - x.
        price: ``(2 K + 2, N)`` positive, of the same: limits - multipliers, limits + multipliers, two of the bounds.
    """

    path: Values
    multipliers: Values
    slack: Values
    price: Values

    def complementarity(self, pieces: _Pieces) -> Values:
        """``(P,)`` means of slack times price: zero at the optimum."""
        return pieces.mean(self.slack * self.price)

    def reach(self, step: "_Iterate", pieces: _Pieces) -> Values:
        """``(P,)`` how much of ``step``, at most all, keeps slack and price positive."""
        steepest = pieces.least(np.minimum(step.slack / self.slack, step.price / self.price))
        return LARGEST_STEP / np.maximum(-steepest, LARGEST_STEP)

    def after(self, step: "_Iterate", length: Values) -> "_Iterate":
        """The point at ``length`` (N,) of ``step``."""
        return _Iterate(
            self.path + length * step.path,
            self.multipliers + length * step.multipliers,
            self.slack + length * step.slack,
            self.price + length * step.price,
        )


class _Newton:
    """Newton steps from one point, all with one factorization."""

    def __init__(self, program: _Program, point: _Iterate, softness: Values):
        self.program, self.point, self.softness = program, point, softness
        num = len(program.limits)
        self.ratio = point.price / point.slack
        ratio, price, slack = self.ratio, point.price, point.slack
        differences = program.differences
        self.unmet = program.pull * (point.path - program.target) + differences.transposed(point.multipliers)
        self.unmet += price[-1] - price[-2]
        self.mismatch = differences.of(point.path) - slack[:num] + slack[num:-2]
        self._factorize(1 / ratio[:num] + 1 / ratio[num:-2], program.pull + ratio[-2] + ratio[-1])

    def _factorize(self, compliance: Values, diagonal: Values) -> None:
        """Bands of paths that do not touch are factorized column by column, so they do not mix."""
        program, pieces = self.program, self.program.pieces
        diagonal = diagonal + program.firm * IMMOVABLE
        while True:
            self.stiffness = 1 / (compliance + pieces.spread(self.softness) / program.limits)
            self.factor, failed = dpbtrf(program.differences.normal(self.stiffness, diagonal), lower=1, overwrite_ab=1)
            if failed == 0:
                return
            self.softness[np.searchsorted(pieces.starts, failed - 1, side="right") - 1] *= 100

    def step(self, wanted: Values) -> _Iterate:
        """The step that changes slack times price by ``wanted`` (2 K + 2, N), to first order."""
        program, point, num = self.program, self.point, len(self.program.limits)
        up, down = wanted[:num] / point.price[:num], wanted[num:-2] / point.price[num:-2]
        at_low, at_high = wanted[-2:] / point.slack[-2:]
        offset = up - down - self.mismatch
        forces = at_low - at_high - self.unmet + program.differences.transposed(self.stiffness * offset)
        path, _ = dpbtrs(self.factor, forces, lower=1, overwrite_b=1)
        multipliers = self.stiffness * (program.differences.of(path) - offset)
        ratio = self.ratio
        slack, price = np.empty_like(wanted), np.empty_like(wanted)
        slack[:num] = up + multipliers / ratio[:num]
        slack[num:-2] = down - multipliers / ratio[num:-2]
        slack[-2], slack[-1] = path, -path
        price[:num], price[num:-2] = -multipliers, multipliers
        price[-2], price[-1] = at_low - ratio[-2] * path, at_high + ratio[-1] * path
        return _Iterate(path, multipliers, slack, price)


def _solve(program: _Program) -> Values:
    """``(N,)`` the optimal paths."""
    if len(program.limits) == 0:
        return np.where(program.firm, program.middle, program.target)
    pieces, point = program.pieces, program.start()
    goal = PRECISION * pieces.mean(program.pull[None])
    softness = np.full(len(pieces.starts), SOFTNESS)
    for _ in range(MAX_ITERATIONS):
        mean = point.complementarity(pieces)
        open_ = mean > goal
        if not open_.any():
            return point.path
        newton = _Newton(program, point, softness)
        products = point.slack * point.price
        predictor = newton.step(-products)
        ahead = point.after(predictor, pieces.spread(point.reach(predictor, pieces))).complementarity(pieces)
        centre = pieces.spread((ahead / mean) ** 3 * mean)
        corrector = newton.step(centre - products - predictor.slack * predictor.price)
        point = point.after(corrector, pieces.spread(np.where(open_, point.reach(corrector, pieces), 0)))
        slow = open_ & (mean < LATE) & (point.complementarity(pieces) > SLOW * mean)
        softness = np.where(slow, np.maximum(softness / 3, HARDEST), softness)
    # it lies in the tube all the same
    log.warning("the camera's path is not quite the best: %.1e after %d iterations", mean.max(), MAX_ITERATIONS)
    return point.path
