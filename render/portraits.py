"""Two public-domain portraits that come inside well-kept packages: people for the demo and the tests.

Grace Hopper (US Navy, in matplotlib) and Eileen Collins (NASA, in scikit-image).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..configs.errors import BackendUnavailableError

FEATHER = 0.08  # the picture fades out over this share of its width at each edge


@dataclass(frozen=True, eq=False)
class Portrait:
    """A person to be put into a scene.

    Attributes:
        pixels: ``(H, W, 4)`` float32 BGR and opacity, 0..255 and 0..1.
        face_xyxy: Face box in pixels of the portrait, as YuNet draws it.
    """

    pixels: NDArray[np.float32]
    face_xyxy: tuple[float, float, float, float]


@cache
def grace_hopper() -> Portrait:
    """Grace Hopper.

    Raises:
        BackendUnavailableError: matplotlib is not installed.
    """
    return Portrait(_feathered(_read(_hopper_file)), (182.9, 120.6, 353.2, 332.9))


@cache
def eileen_collins() -> Portrait:
    """Eileen Collins.

    Raises:
        BackendUnavailableError: scikit-image is not installed.
    """
    return Portrait(_feathered(_read(_collins_file)), (178.0, 62.9, 268.3, 176.5))


def _hopper_file() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"


def _collins_file() -> Path:
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"


def _read(find: Callable[[], Path]) -> NDArray[np.uint8]:
    try:
        path = find()
        picture = cv2.imread(str(path))
        if picture is None:
            raise ImportError(f"{path} is not there")
    except ImportError as error:
        raise BackendUnavailableError(
            "the demo's portraits are not installed", got=error, hint="pip install 'dual-face-tracker[demo]'"
        ) from error
    return np.asarray(picture, np.uint8)


def _feathered(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    height, width = picture.shape[:2]
    fade = FEATHER * width
    across = np.clip(np.minimum(np.arange(width), np.arange(width)[::-1]) / fade, 0, 1)
    down = np.clip(np.arange(height) / fade, 0, 1)  # the lower edge stays: shoulders end in the table
    opacity = np.outer(down, across)[..., None]
    return np.concatenate([picture, opacity], axis=2).astype(np.float32)
