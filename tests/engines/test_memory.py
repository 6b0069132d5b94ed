"""A full memory is told from other failures, whichever library says it."""

from pathlib import Path

import av.error
import cv2
import numpy as np
import pytest

from dft.configs.errors import EngineError, MemoryFullError, OutputError, VideoError
from dft.engines.foreign import reading, writing
from dft.engines.memory import failure, is_full

SAID = [
    "cudaErrorMemoryAllocation: out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
    "cuvidCreateDecoder returned error CUDA_ERROR_OUT_OF_MEMORY",
    "Out of memory allocating 1,048,576 bytes (allocated so far: 512 bytes).",
    "bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 8388608",
    "CUDNN failure 4000: CUDNN_STATUS_ALLOC_FAILED ; GPU=0",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "std::bad_alloc",
]


@pytest.mark.parametrize("said", SAID)
def test_each_library_s_words_for_it(said):
    error = failure("face detection failed", RuntimeError(said))
    assert isinstance(error, MemoryFullError) and isinstance(error, MemoryError)
    assert said in str(error) and "run fewer videos" in str(error)


def test_what_else_fails_is_not_taken_for_it():
    for said in ("error 700", "cudaErrorIllegalAddress", "allocation of labels", "memory leak"):
        assert not is_full(RuntimeError(said))
        assert type(failure("it failed", RuntimeError(said))) is EngineError
    assert not is_full(EngineError("it failed", got="out of memory")), "whoever translated it knew better"


def test_python_s_numpy_s_and_opencv_s_own_are_known():
    with pytest.raises(MemoryError) as caught:
        np.zeros(1 << 50)
    assert is_full(caught.value) and is_full(MemoryError())
    assert "MemoryError" in str(failure("it failed", MemoryError()))
    with pytest.raises(cv2.error) as refused:
        cv2.resize(np.zeros((2, 2), np.uint8), (1 << 24, 1 << 24))
    assert is_full(refused.value)


def test_ffmpeg_s_is_no_fault_of_the_file():
    for boundary, other in ((reading, VideoError), (writing, OutputError)):
        with pytest.raises(MemoryFullError, match=r"v\.mp4"), boundary(Path("v.mp4")):
            av.error.err_check(-12)
        with pytest.raises(other), boundary(Path("v.mp4")):
            av.error.err_check(-5)
