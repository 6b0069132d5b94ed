"""Geometry of boxes."""

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating]


def expand(boxes_xyxy: Boxes, share: float) -> NDArray[np.float64]:
    """Boxes enlarged by ``share`` of their size on each side: ``(N, 4)``."""
    boxes = np.asarray(boxes_xyxy, np.float64)
    margin = (boxes[:, 2:] - boxes[:, :2]) * share
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def iou(a_xyxy: Boxes, b_xyxy: Boxes) -> NDArray[np.float64]:
    """``(N, M)`` intersection over union of ``a (N, 4)`` with ``b (M, 4)``, 0..1.

    >>> iou(np.array([[0., 0, 2, 2]]), np.array([[1., 0, 3, 2]])).round(3).tolist()
    [[0.333]]
    """
    shared = intersections(a_xyxy, b_xyxy)
    total = areas(a_xyxy)[:, None] + areas(b_xyxy)[None] - shared
    result: NDArray[np.float64] = np.divide(shared, total, out=np.zeros_like(shared), where=total > 0)
    return result


def intersections(a_xyxy: Boxes, b_xyxy: Boxes) -> NDArray[np.float64]:
    """``(N, M)`` shared area of ``a (N, 4)`` with ``b (M, 4)``, square pixels."""
    a_xyxy, b_xyxy = np.asarray(a_xyxy, np.float64), np.asarray(b_xyxy, np.float64)  # so that no IoU exceeds 1
    low = np.maximum(a_xyxy[:, None, :2], b_xyxy[None, :, :2])
    high = np.minimum(a_xyxy[:, None, 2:], b_xyxy[None, :, 2:])
    shared: NDArray[np.float64] = np.prod(np.clip(high - low, 0, None), axis=-1, dtype=np.float64)
    return shared


def areas(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    """``(N,)`` areas in square pixels."""
    boxes = np.asarray(boxes_xyxy, np.float64)
    size: NDArray[np.float64] = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return size


def centres(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    """``(N, 2)`` centres in pixels."""
    boxes = np.asarray(boxes_xyxy, np.float64)
    middle: NDArray[np.float64] = (boxes[:, :2] + boxes[:, 2:]) / 2
    return middle


def heights(boxes_xyxy: Boxes) -> NDArray[np.float64]:
    """``(N,)`` heights in pixels."""
    return np.asarray(boxes_xyxy[:, 3] - boxes_xyxy[:, 1], np.float64)
