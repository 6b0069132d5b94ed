"""Kalman filter of a box that moves with nearly constant velocity, in real time.

Continuous white-noise acceleration model: Bar-Shalom, Li, Kirubarajan: Estimation with Applications to Tracking and
Navigation (2001), section 6.2.2. The coordinates cx, cy, w, h are filtered independently, each with the state
(value, velocity); noise scales with the box's height, as in SORT and ByteTrack, but per second, not per frame. It is
the same for both coordinates of the centre, and for both of the size: each pair has one covariance.
"""

from dataclasses import dataclass

from .box import Box

MEASUREMENT_STD = 0.05  # box heights; ByteTrack's 1/20
CENTRE_ACCELERATION_STD = 4.0  # box heights / s^1.5: a nod, a turn, a step
SIZE_ACCELERATION_STD = 1.0  # box heights / s^1.5
CENTRE_START_VELOCITY_STD = 1.5  # box heights / s
SIZE_START_VELOCITY_STD = 0.5  # box heights / s
LEAST_SIDE = 1.0  # pixels; a smaller box counts as one of this size


class BoxFilter:
    """Follows one box, which begins at rest.

    Args:
        box: Where it is first seen.

    Attributes:
        centre: Of the box.
        size: Width and height.
    """

    def __init__(self, box: Box):
        scale = max(box.height, LEAST_SIDE)
        noise = (MEASUREMENT_STD * scale) ** 2
        (cx, cy), (width, height) = _centre_and_size(box)
        self.centre = PairFilter(cx, cy, noise, (CENTRE_START_VELOCITY_STD * scale) ** 2)
        self.size = PairFilter(width, height, noise, (SIZE_START_VELOCITY_STD * scale) ** 2)

    def predict(self, seconds: float) -> None:
        """Move on by ``seconds``."""
        scale = max(self.size.second, LEAST_SIDE)
        self.centre.predict(seconds, (CENTRE_ACCELERATION_STD * scale) ** 2)
        self.size.predict(seconds, (SIZE_ACCELERATION_STD * scale) ** 2)

    def update(self, box: Box) -> None:
        """Correct by a measured ``box``."""
        noise = (MEASUREMENT_STD * max(box.height, LEAST_SIDE)) ** 2
        centre, size = _centre_and_size(box)
        self.centre.update(*centre, noise)
        self.size.update(*size, noise)

    @property
    def box(self) -> Box:
        """The box as it stands, a pixel wide and high at the least."""
        cx, cy = self.centre.first, self.centre.second
        wide, high = max(self.size.first, LEAST_SIDE) / 2, max(self.size.second, LEAST_SIDE) / 2
        return Box(cx - wide, cy - high, cx + wide, cy + high)


@dataclass(slots=True)
class PairFilter:
    """Follows two coordinates of one uncertainty.

    Attributes:
        first: A coordinate, pixels.
        second: The other.
        variance: Of each, square pixels.
        velocity_variance: Of each velocity, square pixels / s^2.
        covariance: Of each coordinate with its velocity, square pixels / s.
        first_velocity: Pixels / s.
        second_velocity: Pixels / s.
    """

    first: float
    second: float
    variance: float
    velocity_variance: float
    covariance: float = 0.0
    first_velocity: float = 0.0
    second_velocity: float = 0.0

    def predict(self, seconds: float, power: float) -> None:
        """Move on by ``seconds`` under white noise of ``power``, square pixels / s^3."""
        self.first += seconds * self.first_velocity
        self.second += seconds * self.second_velocity
        gathered = seconds * self.velocity_variance
        self.variance += seconds * (2 * self.covariance + gathered) + power * seconds**3 / 3
        self.covariance += gathered + power * seconds**2 / 2
        self.velocity_variance += power * seconds

    def update(self, first: float, second: float, noise: float) -> None:
        """Correct by measured coordinates with the variance ``noise``, square pixels."""
        gain, velocity_gain = self.variance / (self.variance + noise), self.covariance / (self.variance + noise)
        off_first, off_second = first - self.first, second - self.second
        self.first += gain * off_first
        self.second += gain * off_second
        self.first_velocity += velocity_gain * off_first
        self.second_velocity += velocity_gain * off_second
        self.velocity_variance -= velocity_gain * self.covariance
        self.variance -= gain * self.variance
        self.covariance -= gain * self.covariance


def _centre_and_size(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """cx, cy and w, h."""
    x1, y1, x2, y2 = box
    return ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1)
