"""Kalman filter of boxes that move with nearly constant velocity, in real time.

Continuous white-noise acceleration model: Bar-Shalom, Li, Kirubarajan: Estimation with Applications to Tracking and
Navigation (2001), section 6.2.2. The coordinates cx, cy, w, h are filtered independently, each with the state
(value, velocity); noise scales with the box's height, as in SORT and ByteTrack, but per second, not per frame.
"""

import numpy as np
from numpy.typing import NDArray

MEASUREMENT_STD = 0.05  # box heights; ByteTrack's 1/20
ACCELERATION_STD = np.array([4.0, 4.0, 1.0, 1.0])  # box heights / s^1.5 for cx, cy, w, h: a nod, a turn, a step
START_VELOCITY_STD = np.array([1.5, 1.5, 0.5, 0.5])  # box heights / s


class BoxFilter:
    """Filters of T boxes at once.

    Attributes:
        mean: ``(T, 4, 2)`` float64 value (pixels) and velocity (pixels / s) of cx, cy, w, h.
        covariance: ``(T, 4, 2, 2)`` float64.
    """

    def __init__(self) -> None:
        self.mean: NDArray[np.float64] = np.zeros((0, 4, 2))
        self.covariance: NDArray[np.float64] = np.zeros((0, 4, 2, 2))

    def __len__(self) -> int:
        return len(self.mean)

    def add(self, boxes_xyxy: NDArray[np.float32]) -> None:
        """Begin filters at rest at ``boxes_xyxy (N, 4)``."""
        values = to_cxcywh(boxes_xyxy)
        mean = np.stack([values, np.zeros_like(values)], axis=-1)
        height = values[:, 3:]
        covariance = np.zeros((len(values), 4, 2, 2))
        covariance[..., 0, 0] = (MEASUREMENT_STD * height) ** 2
        covariance[..., 1, 1] = (START_VELOCITY_STD * height) ** 2
        self.mean = np.concatenate([self.mean, mean])
        self.covariance = np.concatenate([self.covariance, covariance])

    def keep(self, which: NDArray[np.bool_]) -> None:
        """Drop all filters but those ``which (T,)`` marks."""
        self.mean, self.covariance = self.mean[which], self.covariance[which]

    def predict(self, seconds: float) -> None:
        """Move all filters on by ``seconds``."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        spread = np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        height = np.maximum(self.mean[:, 3, 0], 1.0)[:, None]
        power = (ACCELERATION_STD * height) ** 2
        self.mean = self.mean @ step.T
        self.covariance = step @ self.covariance @ step.T + power[..., None, None] * spread

    def update(self, which: NDArray[np.intp], boxes_xyxy: NDArray[np.float32]) -> None:
        """Correct filters ``which (N,)`` by the measured ``boxes_xyxy (N, 4)``."""
        measured = to_cxcywh(boxes_xyxy)
        mean, covariance = self.mean[which], self.covariance[which]
        noise = (MEASUREMENT_STD * measured[:, 3:]) ** 2
        gain = covariance[..., :, 0] / (covariance[..., 0, 0] + noise)[..., None]
        self.mean[which] = mean + gain * (measured - mean[..., 0])[..., None]
        self.covariance[which] = covariance - gain[..., :, None] * covariance[..., None, 0, :]

    def boxes_xyxy(self) -> NDArray[np.float64]:
        """``(T, 4)`` float64 boxes as they stand."""
        value = self.mean[..., 0]
        half = np.maximum(value[:, 2:], 1.0) / 2
        return np.concatenate([value[:, :2] - half, value[:, :2] + half], axis=1)


def to_cxcywh(boxes_xyxy: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, 4)`` centre and size of boxes given by corners."""
    boxes = np.asarray(boxes_xyxy, np.float64)
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], axis=1)
