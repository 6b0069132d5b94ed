"""The same motion gives the same prediction whatever the frame rate."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.tracking.box import Box
from dft.analyze.tracking.kalman import (
    CENTRE_ACCELERATION_STD,
    CENTRE_START_VELOCITY_STD,
    MEASUREMENT_STD,
    SIZE_ACCELERATION_STD,
    SIZE_START_VELOCITY_STD,
    BoxFilter,
    PairFilter,
)

SPEED = 120.0  # pixels per second


def box_of(seconds, box) -> Box:
    return Box(*box(100 + SPEED * seconds))


def followed(times, box) -> BoxFilter:
    """A filter that has seen a box in steady motion at ``times``."""
    motion = BoxFilter(box_of(times[0], box))
    for before, now in pairwise(times):
        motion.predict(now - before)
        motion.update(box_of(now, box))
    return motion


def irregular(seed: int) -> list[float]:
    steps = np.random.default_rng(seed).choice([0.017, 0.033, 0.06], 80)
    times = np.concatenate([[0.0], np.cumsum(steps)])
    return [*times[times < 1.98].tolist(), 2.0]


RATES = {
    "25 fps": np.arange(0, 2.001, 0.04).tolist(),
    "50 fps": np.arange(0, 2.001, 0.02).tolist(),
    "variable": irregular(3),
}


@pytest.mark.parametrize("times", RATES.values(), ids=RATES)
def test_constant_velocity_is_learnt(times, box):
    motion = followed(times, box)
    assert motion.centre.first_velocity == pytest.approx(SPEED, rel=0.02)
    for still in (motion.centre.second_velocity, motion.size.first_velocity, motion.size.second_velocity):
        assert abs(still) < 1
    motion.predict(0.2)
    np.testing.assert_allclose(motion.box, box_of(2.2, box), atol=1.5)


def test_the_frame_rate_changes_the_prediction_little(box):
    predictions = []
    for times in RATES.values():
        motion = followed(times, box)
        motion.predict(0.3)
        predictions.append(motion.box)
    np.testing.assert_allclose(predictions[1], predictions[0], atol=1.0)
    np.testing.assert_allclose(predictions[2], predictions[0], atol=1.0)


def test_two_steps_equal_one(box):
    one, two = followed(RATES["25 fps"], box), followed(RATES["25 fps"], box)
    one.predict(0.1)
    two.predict(0.04)
    two.predict(0.06)
    for pair in ("centre", "size"):
        np.testing.assert_allclose(state_of(getattr(two, pair)), state_of(getattr(one, pair)), rtol=1e-9)


def test_covariances_stay_positive(box):
    motion = followed(RATES["variable"], box)
    for pair in (motion.centre, motion.size):
        assert pair.variance > 0 and pair.variance * pair.velocity_variance > pair.covariance**2


def state_of(pair: PairFilter) -> list[float]:
    """Values, velocities and covariance."""
    return [
        pair.first, pair.first_velocity, pair.second, pair.second_velocity, pair.variance, pair.covariance,
        pair.velocity_variance,
    ]  # fmt: skip


class MatrixFilter:
    """The textbook's filter of one coordinate: its value and its velocity."""

    def __init__(self, value: float, scale: float, velocity_std: float, acceleration_std: float):
        self.mean = np.array([value, 0.0])
        self.covariance = np.diag([MEASUREMENT_STD * scale, velocity_std * scale]) ** 2
        self._acceleration_std = acceleration_std

    def predict(self, seconds: float, scale: float) -> None:
        step = np.array([[1, seconds], [0, 1]])
        noise = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        self.mean = step @ self.mean
        self.covariance = step @ self.covariance @ step.T + (self._acceleration_std * scale) ** 2 * noise

    def update(self, value: float, scale: float) -> None:
        seen = np.array([[1.0, 0.0]])
        spread = seen @ self.covariance @ seen.T + (MEASUREMENT_STD * scale) ** 2
        gain = self.covariance @ seen.T / spread
        self.mean = self.mean + gain[:, 0] * (value - self.mean[0])
        self.covariance = (np.eye(2) - gain @ seen) @ self.covariance


SEEN = st.tuples(st.floats(-500, 2500), st.floats(-500, 2500), st.floats(0, 400), st.floats(0, 400))
STEPS = st.lists(st.tuples(st.floats(0, 0.5), st.none() | SEEN), max_size=12)
STDS = [(CENTRE_START_VELOCITY_STD, CENTRE_ACCELERATION_STD)] * 2 + [
    (SIZE_START_VELOCITY_STD, SIZE_ACCELERATION_STD)
] * 2


def box_around(cx: float, cy: float, width: float, height: float) -> Box:
    return Box(cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)


@given(SEEN, STEPS)
def test_it_is_the_filter_of_the_textbook(first, steps):
    """Four coordinates apart, with the noise of the box's height: at least that of a pixel."""
    motion = BoxFilter(box_around(*first))
    plain = [MatrixFilter(value, max(first[3], 1.0), *stds) for value, stds in zip(first, STDS, strict=True)]
    for seconds, seen in steps:
        scale = max(plain[3].mean[0], 1.0)
        motion.predict(seconds)
        for one in plain:
            one.predict(seconds, scale)
        if seen is not None:
            motion.update(box_around(*seen))
            for one, value in zip(plain, seen, strict=True):
                one.update(value, max(seen[3], 1.0))
    for pair, (one, other) in ((motion.centre, plain[:2]), (motion.size, plain[2:])):
        for reference in (one, other):
            assert [pair.variance, pair.covariance, pair.velocity_variance] == pytest.approx(
                reference.covariance[[0, 0, 1], [0, 1, 1]].tolist(), rel=1e-6, abs=1e-6
            )
        assert state_of(pair)[:4] == pytest.approx([*one.mean, *other.mean], rel=1e-6, abs=1e-5)


def test_the_box_that_stands_for_it(box):
    motion = BoxFilter(Box(10, 20, 30, 60))
    assert motion.box == (10, 20, 30, 60)
    assert BoxFilter(Box(10, 20, 10, 20)).box == (9.5, 19.5, 10.5, 20.5)
