"""The same motion gives the same prediction whatever the frame rate."""

from itertools import pairwise

import numpy as np
import pytest

from dft.analyze.tracking.kalman import BoxFilter, to_cxcywh

SPEED = 120.0  # pixels per second


def box_of(seconds, box):
    return np.array([box(100 + SPEED * seconds)], np.float32)


def followed(times, box) -> BoxFilter:
    """A filter that has seen a box in steady motion at ``times``."""
    boxes = BoxFilter()
    boxes.add(box_of(times[0], box))
    for before, now in pairwise(times):
        boxes.predict(now - before)
        boxes.update(np.array([0]), box_of(now, box))
    return boxes


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
    boxes = followed(times, box)
    assert boxes.mean[0, 0, 1] == pytest.approx(SPEED, rel=0.02)
    assert abs(boxes.mean[0, 1:, 1]).max() < 1
    boxes.predict(0.2)
    np.testing.assert_allclose(boxes.boxes_xyxy(), box_of(2.2, box), atol=1.5)


def test_the_frame_rate_changes_the_prediction_little(box):
    predictions = []
    for times in RATES.values():
        boxes = followed(times, box)
        boxes.predict(0.3)
        predictions.append(boxes.boxes_xyxy())
    np.testing.assert_allclose(predictions[1], predictions[0], atol=1.0)
    np.testing.assert_allclose(predictions[2], predictions[0], atol=1.0)


def test_two_steps_equal_one(box):
    one, two = followed(RATES["25 fps"], box), followed(RATES["25 fps"], box)
    one.predict(0.1)
    two.predict(0.04)
    two.predict(0.06)
    np.testing.assert_allclose(two.mean, one.mean, rtol=1e-9)
    np.testing.assert_allclose(two.covariance, one.covariance, rtol=1e-9)


def test_covariances_stay_symmetric_and_positive(box):
    boxes = followed(RATES["variable"], box)
    np.testing.assert_allclose(boxes.covariance, boxes.covariance.swapaxes(-1, -2))
    assert (np.linalg.eigvalsh(boxes.covariance) > 0).all()


def test_only_the_named_filters_are_corrected_and_kept(box):
    boxes = BoxFilter()
    boxes.add(np.array([box(100), box(300), box(500)], np.float32))
    boxes.predict(0.04)
    before = boxes.mean.copy()
    boxes.update(np.array([1]), np.array([box(320)], np.float32))
    np.testing.assert_array_equal(boxes.mean[[0, 2]], before[[0, 2]])
    assert 300 < boxes.mean[1, 0, 0] <= 320
    boxes.keep(np.array([False, True, True]))
    assert len(boxes) == 2 and boxes.mean[1, 0, 0] == 500


def test_to_cxcywh():
    assert to_cxcywh(np.array([[10.0, 20, 30, 60]])).tolist() == [[20, 40, 20, 40]]
