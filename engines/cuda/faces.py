"""Kernels around the detector's network, of ``faces.cu``: pictures become a batch, and YuNet's heads become faces.

Only faces and thumbnails go back to the host, :data:`ANSWER_BYTES` for a picture.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..protocols import Detections
from ..yunet import BLEND_IOU, BLEND_ROUNDS, NMS_IOU, STRIDES
from . import compiled

SOURCE = "faces.cu"
MAX_BATCH = 32
MAX_FACES = 128  # of one picture; of more the best are given
FACE_NUMBERS = 15  # box, score, landmarks
THUMBNAIL_SHAPE = (18, 32)
THUMBNAIL_NUMBERS = 18 * 32 // 4
ANSWER_NUMBERS = 1 + MAX_FACES * FACE_NUMBERS + THUMBNAIL_NUMBERS
ANSWER_BYTES = 4 * ANSWER_NUMBERS
GATHER_BLOCKS, GATHER_THREADS = 16, 256  # of one channel of a picture
FIND_THREADS = 256  # of one picture, and no more than faces.cu's MAX_THREADS

PICTURE = np.dtype([("pixels", "u8"), ("thumbnail", "u8"), ("height", "i4"), ("width", "i4")], align=True)
GATHERING = np.dtype(
    [
        ("batch", "u8"), ("answers", "u8"), ("height", "i4"), ("width", "i4"), ("count", "i4"),
        ("pictures", PICTURE, MAX_BATCH),
    ],
    align=True,
)  # fmt: skip
HEADS = np.dtype(
    [
        ("scores", "u8", (2, 3)), ("boxes", "u8", 3), ("points", "u8", 3), ("found", "u8"), ("cells", "u8"),
        ("answers", "u8"), ("height", "i4"), ("width", "i4"), ("min_score", "f4"), ("max_iou", "f4"),
        ("blend_iou", "f4"), ("blend_rounds", "i4"),
    ],
    align=True,
)  # fmt: skip


def num_cells(height: int, width: int) -> int:
    """Cells of all heads, of a network's input of ``height`` x ``width`` pixels."""
    return sum((height // stride) * (width // stride) for stride in STRIDES)


def gathering(batch: int, answers: int, size: tuple[int, int]) -> NDArray[np.void]:
    """Argument ``(1,)`` of the kernel ``gather``, without pictures as yet.

    Args:
        batch: Address of ``(n, 3, height, width)`` float32.
        answers: Address of ``(n, ANSWER_NUMBERS)`` float32; 0 where there are no thumbnails.
        size: ``height, width`` of the batch.
    """
    structure = np.zeros(1, GATHERING)
    made = structure[0]
    made["batch"], made["answers"], (made["height"], made["width"]) = batch, answers, size
    return structure


def put_pictures(structure: NDArray[np.void], pictures: Sequence[tuple[int, int, int, int]]) -> None:
    """Fill in what :func:`gathering` made, in place of the pictures before.

    Args:
        structure: The argument.
        pictures: At most :data:`MAX_BATCH`: addresses of ``(3, h, w)`` uint8 pixels and of the ``(18, 32)`` uint8
            thumbnail (or 0), then h and w, no larger than the batch's.
    """
    structure["count"] = len(pictures)
    structure["pictures"][0, : len(pictures)] = pictures


def heads(
    outputs: dict[str, int], workspace: tuple[int, int], answers: int, size: tuple[int, int], min_score: float
) -> NDArray[np.void]:
    """Argument ``(1,)`` of the kernel ``find_faces``.

    Args:
        outputs: Addresses of the network's float32 outputs, by name.
        workspace: Addresses of ``(n, num_cells)`` float32 and of int32.
        answers: Address of ``(n, ANSWER_NUMBERS)`` float32.
        size: ``height, width`` of the network's input.
        min_score: Faces below are left out.
    """
    structure = np.zeros(1, HEADS)
    made = structure[0]
    made["scores"] = [[outputs[f"{head}_{stride}"] for stride in STRIDES] for head in ("cls", "obj")]
    made["boxes"] = [outputs[f"bbox_{stride}"] for stride in STRIDES]
    made["points"] = [outputs[f"kps_{stride}"] for stride in STRIDES]
    (made["found"], made["cells"]), made["answers"] = workspace, answers
    (made["height"], made["width"]), made["min_score"], made["max_iou"] = size, min_score, NMS_IOU
    made["blend_iou"], made["blend_rounds"] = BLEND_IOU, BLEND_ROUNDS
    return structure


def read_answers(
    answers: NDArray[np.float32], scales: Sequence[NDArray[np.float32]]
) -> tuple[list[Detections], NDArray[np.uint8]]:
    """Faces in displayed pixels, and the thumbnails ``(n, 18, 32)``, copied out of the answers.

    Args:
        answers: ``(at least n, ANSWER_NUMBERS)`` float32: what the kernels left.
        scales: Of each of the n pictures, at least one, see :func:`answer_scale`.
    """
    num, counts = len(scales), [int(count) for count in answers[: len(scales), 0].tolist()]
    tables = answers[:num, 1 : 1 + max(counts) * FACE_NUMBERS].reshape(num, -1, FACE_NUMBERS)
    scaled = tables * (scales[0] if all(scale is scales[0] for scale in scales) else np.stack(scales)[:, None])
    faces = []
    for table, count in zip(scaled, counts, strict=True):
        own = table[:count]
        faces.append(Detections(own[:, :4], own[:, 4], own[:, 5:]))
    thumbnails = answers[:num, -THUMBNAIL_NUMBERS:].copy().view(np.uint8)
    return faces, thumbnails.reshape(num, *THUMBNAIL_SHAPE)


def answer_scale(x: float, y: float) -> NDArray[np.float32]:
    """What the numbers of a face are multiplied with, ``(FACE_NUMBERS,)``, so that they count displayed pixels.

    Args:
        x: Displayed pixels per pixel of the network's input, across.
        y: Likewise, down.
    """
    return np.array([*(x, y) * 2, 1, *(x, y) * 5], np.float32)


def launch(name: str, grid: tuple[int, int], threads: int, argument: NDArray[np.void]) -> None:
    """Enqueue a kernel on the thread's current CuPy stream.

    Raises:
        EngineError: The kernels cannot be compiled, or not launched.
    """
    compiled.launch(compiled.kernel(SOURCE, name), grid, (threads,), argument)


def source_text() -> str:
    """The kernels in CUDA C++."""
    return compiled.text(SOURCE)
