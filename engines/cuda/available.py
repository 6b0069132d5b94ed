"""What the CUDA backends need and what of it is here: one line for each piece, with what to do where it is missing."""

import ctypes
import importlib
from collections.abc import Callable
from dataclasses import dataclass

from ...configs.hardware import why_no_cuda

INSTALL = "pip install 'dual-face-tracker[gpu]'"
_CONTAINER = "in a container, set NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"


@dataclass(frozen=True)
class Part:
    """One piece that CUDA backends need.

    Attributes:
        name: What it is.
        role: What it is for: ``all``, ``decode``, ``infer`` or ``encode``.
        missing: Why it cannot be used and what to do, in one line; None where it can.
        has_substitute: Whether dft goes on without it, on a slower rung of that role.
    """

    name: str
    role: str
    missing: str | None
    has_substitute: bool = False


def parts() -> tuple[Part, ...]:
    """Every piece, in the order in which they build upon each other."""
    return (
        Part("NVIDIA driver", "all", why_no_cuda()),
        Part("cupy", "all", why_no_cupy()),
        Part("onnxruntime-gpu", "infer", why_no_onnxruntime()),
        Part("video decoding of the driver", "decode", why_no_library("libnvcuvid.so.1"), has_substitute=True),
        Part("PyNvVideoCodec", "decode", why_no_pynvvideocodec(), has_substitute=True),
        Part("video encoding of the driver", "encode", why_no_library("libnvidia-encode.so.1"), has_substitute=True),
    )


def why_unusable() -> str | None:
    """Why the CUDA device cannot be used, in one line, or None where all that has no substitute is here."""
    missing = [part for part in parts() if part.missing is not None and not part.has_substitute]
    return missing[0].missing if missing else None


def why_no_library(name: str) -> str | None:
    """Why a library of the driver cannot be loaded, or None."""
    try:
        ctypes.CDLL(name)
    except OSError:
        return f"the driver's {name} is not there ({_CONTAINER})"
    return None


def why_no_cupy() -> str | None:
    """Why cupy cannot be used, or None."""

    def use() -> None:
        cupy = importlib.import_module("cupy")
        cupy.cuda.runtime.getDeviceCount()

    return _why_not("cupy", use)


def why_no_pynvvideocodec() -> str | None:
    """Why PyNvVideoCodec cannot be used, or None.

    Its import loads ``libnvidia-encode.so.1`` even where nothing is to be encoded.
    """
    if why_no_library("libnvcuvid.so.1") is None and (lacking := why_no_library("libnvidia-encode.so.1")) is not None:
        return f"PyNvVideoCodec does not start: {lacking}"
    return _why_not("PyNvVideoCodec", lambda: importlib.import_module("PyNvVideoCodec"))


def why_no_onnxruntime() -> str | None:
    """Why ONNX Runtime cannot use CUDA, or None."""
    reason = _why_not("onnxruntime", lambda: importlib.import_module("onnxruntime"))
    if reason is not None:
        return reason
    known = importlib.import_module("onnxruntime").get_available_providers()
    if "CUDAExecutionProvider" not in known:
        return (
            "onnxruntime is built without CUDA (pip uninstall onnxruntime onnxruntime-gpu, then "
            f"{INSTALL}: both packages hold the same module)"
        )
    return None


def _why_not(name: str, use: Callable[[], object]) -> str | None:
    try:
        use()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == name:
            return f"{name} is not installed ({INSTALL})"
        return f"{name} cannot be imported: {_one_line(error)} ({INSTALL})"
    except Exception as error:  # whatever a library says when its own libraries are missing
        return f"{name} does not start: {_one_line(error)}"
    return None


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
