"""Few keyframes, from which linear interpolation gives all boxes within a tolerance."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import SettingError
from dft.trackio.interchange.keyframes import KeyframeChoice, Keyframes, choose, interpolated


def lines(values, chosen):
    at = np.arange(len(values))
    return np.stack([np.interp(at, chosen, values[chosen, column]) for column in range(4)], axis=1)


@given(
    st.integers(1, 200), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.01, 0.5, 5.0]), st.integers(1, 60)
)  # fmt: skip
def test_interpolation_stays_within_the_tolerance(count, seed, tolerance, most):
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(0, 1, (count, 4)), axis=0)
    written = np.round(values, 2)
    chosen = choose(values, written, tolerance, most)
    assert chosen[0] == 0 and chosen[-1] == count - 1
    assert (np.diff(chosen) > 0).all() and (np.diff(chosen) <= most).all()
    between = np.setdiff1d(np.arange(count), chosen)
    assert (np.abs(lines(written, chosen) - values)[between] <= tolerance + 1e-9).all()


def test_straight_motion_needs_its_ends_only():
    values = np.outer(np.arange(1000), [1.0, 0.5, 1.0, 0.25])
    assert choose(values, values, 1e-6, 1000) == [0, 999]
    assert choose(values, values, 1e-6, 400) == [0, 400, 800, 999]


def test_a_corner_is_a_keyframe():
    values = np.abs(np.arange(101.0) - 60)[:, None] * np.ones(4)
    assert choose(values, values, 1e-6, 1000) == [0, 60, 100]


@pytest.mark.parametrize("tolerance", [0.3, 1.0])
def test_each_keyframe_is_as_far_as_it_can_be(tolerance):
    rng = np.random.default_rng(5)
    values = np.cumsum(rng.normal(0, 0.4, (150, 4)), axis=0)
    chosen = choose(values, values, tolerance, 150)
    for here, there in pairwise(chosen):
        for further in range(there + 1, min(there + 40, 150)):
            error = np.abs(lines(values[here : further + 1], [0, further - here]) - values[here : further + 1]).max()
            assert error > tolerance


def test_interpolated_as_cvat_does():
    keys = Keyframes(
        track=np.array([0, 0, 0, 1]),
        frame_index=np.array([2, 4, 6, 8]),
        boxes_xyxy=np.array([[0, 0, 10, 10], [4, 2, 14, 12], [5, 5, 6, 6], [1, 1, 2, 2]], float),
        outside=np.array([False, True, False, False]),
    )
    of, frame, boxes = interpolated(keys, 9)
    assert of.tolist() == [0, 0, 2, 2, 2, 2, 3, 3]
    assert frame.tolist() == [2, 3, 6, 7, 8, 9, 8, 9]
    assert boxes[1].tolist() == [2, 1, 12, 11]
    assert (boxes[2:6] == [5, 5, 6, 6]).all()


def test_no_keyframes():
    nothing = Keyframes(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 4)), np.empty(0, bool))
    assert [len(part) for part in interpolated(nothing, 9)] == [0, 0, 0]


@given(st.one_of(st.none(), st.floats(0, 1)), st.one_of(st.none(), st.integers(1, 10**6)))
def test_a_choice_is_read_as_it_was_written(tolerance, most):
    choice = KeyframeChoice(tolerance, most if tolerance is not None else None)
    assert KeyframeChoice.parse(str(choice)) == choice


@pytest.mark.parametrize("text", ["some", "-1", "0.5/0", "2", "1/1/1", "nan"])
def test_what_is_no_choice_is_refused(text):
    with pytest.raises(ValueError, match=r"keyframe|float"):
        KeyframeChoice.parse(text)


@pytest.mark.parametrize("tolerance", [-0.1, 1.5, float("nan")])
def test_a_tolerance_that_cannot_be(tolerance):
    with pytest.raises(SettingError, match="0 to 1"):
        KeyframeChoice(tolerance)
