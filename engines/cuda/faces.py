"""Kernels around the detector's network, of ``faces.cu``: pictures become a batch, and YuNet's heads become faces.

Only faces and thumbnails go back to the host, :data:`ANSWER_BYTES` for a picture.
"""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...configs.errors import EngineError
from ..protocols import Detections
from ..yunet import NMS_IOU, STRIDES

SOURCE = "faces.cu"
OPTIONS = ("--std=c++17",)
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
    ],
    align=True,
)  # fmt: skip


def num_cells(height: int, width: int) -> int:
    """Cells of all heads, of a network's input of ``height`` x ``width`` pixels."""
    return sum((height // stride) * (width // stride) for stride in STRIDES)


def gathering(
    batch: int, answers: int, size: tuple[int, int], pictures: Sequence[tuple[int, int, int, int]]
) -> NDArray[np.void]:
    """Argument of the kernel ``gather``.

    Args:
        batch: Address of ``(n, 3, height, width)`` float32.
        answers: Address of ``(n, ANSWER_NUMBERS)`` float32; 0 where there are no thumbnails.
        size: ``height, width`` of the batch.
        pictures: At most :data:`MAX_BATCH`: addresses of ``(3, h, w)`` uint8 pixels and of the ``(18, 32)`` uint8
            thumbnail (or 0), then h and w, no larger than ``size``.
    """
    made = np.zeros((), GATHERING)
    made["batch"], made["answers"], (made["height"], made["width"]) = batch, answers, size
    made["count"] = len(pictures)
    made["pictures"][: len(pictures)] = pictures
    return made


def heads(
    outputs: dict[str, int], workspace: tuple[int, int], answers: int, size: tuple[int, int], min_score: float
) -> NDArray[np.void]:
    """Argument of the kernel ``find_faces``.

    Args:
        outputs: Addresses of the network's float32 outputs, by name.
        workspace: Addresses of ``(n, num_cells)`` float32 and of int32.
        answers: Address of ``(n, ANSWER_NUMBERS)`` float32.
        size: ``height, width`` of the network's input.
        min_score: Faces below are left out.
    """
    made = np.zeros((), HEADS)
    made["scores"] = [[outputs[f"{head}_{stride}"] for stride in STRIDES] for head in ("cls", "obj")]
    made["boxes"] = [outputs[f"bbox_{stride}"] for stride in STRIDES]
    made["points"] = [outputs[f"kps_{stride}"] for stride in STRIDES]
    (made["found"], made["cells"]), made["answers"] = workspace, answers
    (made["height"], made["width"]), made["min_score"], made["max_iou"] = size, min_score, NMS_IOU
    return made


def read_answer(answer: NDArray[np.float32], scale_xy: tuple[float, float]) -> tuple[Detections, NDArray[np.uint8]]:
    """Faces in displayed pixels and the thumbnail, copied out of one ``(ANSWER_NUMBERS,)`` answer.

    Args:
        answer: What the kernels left.
        scale_xy: Displayed pixels per pixel of the network's input.
    """
    table = answer[1 : 1 + MAX_FACES * FACE_NUMBERS].reshape(MAX_FACES, FACE_NUMBERS)[: int(answer[0])]
    scale = np.array(scale_xy, np.float32)
    thumbnail = answer[-THUMBNAIL_NUMBERS:].view(np.uint8).reshape(THUMBNAIL_SHAPE).copy()
    faces = Detections(table[:, :4] * np.tile(scale, 2), table[:, 4].copy(), table[:, 5:] * np.tile(scale, 5))
    return faces, thumbnail


def launch(name: str, grid: tuple[int, int], threads: int, argument: NDArray[np.void]) -> None:
    """Enqueue a kernel on the thread's current CuPy stream.

    Raises:
        EngineError: The kernels cannot be compiled, or not launched.
    """
    try:
        # as in CuPy's own example of structures, examples/custom_struct/complex_struct.py
        _kernel(name)(grid, (threads,), (argument.reshape(1),))
    except Exception as error:  # NVRTC's, the driver's and CuPy's own errors have no common base
        raise EngineError(f"the CUDA kernel {name} cannot be run", got=error) from error


def source_text() -> str:
    """The kernels in CUDA C++."""
    return resources.files(__package__).joinpath(SOURCE).read_text(encoding="utf-8")


@cache
def _module() -> Any:
    import cupy

    return cupy.RawModule(code=source_text(), options=OPTIONS)


@cache
def _kernel(name: str) -> Any:
    return _module().get_function(name)
