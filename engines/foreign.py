"""Translating PyAV's and the system's errors into dft's, at the boundary."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error
from av.codec.codec import UnknownCodecError

from ..configs.errors import (
    BackendUnavailableError,
    DftError,
    EngineError,
    OutputError,
    VideoError,
    VideoNotFoundError,
    VideoUnreadableError,
)
from .memory import failure

UNREADABLE = (av.error.FFmpegError, OSError, IndexError)
"""What reading on in a damaged file may raise; the last is PyAV's, where damage feigns a further stream."""

_SPACE = "free some space, or choose another folder"
_RIGHTS = "check the rights of the folder, or choose another"
_HINTS = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on file sizes (ulimit -f), or choose another folder",
    errno.ENOENT: "create the folder, or choose another",
}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what FFmpeg or the system says about the input ``path`` into a ``VideoError``, or ``MemoryFullError``."""
    try:
        yield
    except DftError:
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VideoNotFoundError(f"there is no video {path}", hint="check the path") from error
    except PermissionError as error:
        raise VideoUnreadableError(f"cannot read {path}", got="permission denied") from error
    except IsADirectoryError as error:
        raise VideoUnreadableError(f"cannot read {path}", got="a folder", expected="a video file") from error
    except MemoryError as error:
        raise failure(f"no memory to read {path.name}", error) from error
    except av.error.InvalidDataError as error:
        raise _no_media(path) from error
    except (av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError) as error:
        raise VideoUnreadableError(
            f"cannot read {path}", got=f"a format without a decoder here ({error.strerror})"
        ) from error
    except (*UNREADABLE, ValueError) as error:
        raise VideoError(f"cannot read {path}", got=str(error)) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what FFmpeg or the system says about the output ``path`` into an error of ours."""
    try:
        yield
    except DftError:
        raise
    except MemoryError as error:
        raise failure(f"no memory to write {path.name}", error) from error
    except UnknownCodecError as error:
        raise BackendUnavailableError(
            "this PyAV lacks an encoder", got=error, hint="install av from PyPI: pip install --force-reinstall av"
        ) from error
    except (av.error.ExternalError, av.error.ArgumentError, av.error.UnknownError, ValueError) as error:
        raise EngineError(f"the encoder or the muxer refused to write {path.name}", got=error) from error
    except (av.error.FFmpegError, OSError) as error:
        number = error.errno or 0
        reason = os.strerror(number) if 0 < number < 4096 else (error.strerror or str(error))
        raise OutputError(
            f"cannot write in {path.parent}", got=reason.lower(), hint=_HINTS.get(number, _RIGHTS)
        ) from error


def _no_media(path: Path) -> VideoUnreadableError:
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] in (b"ftyp", b"mdat", b"wide", b"free"):
        return VideoUnreadableError(
            f"cannot read {path}",
            got="an MP4 file without its index (moov): the recording or copy was cut off",
            hint="copy the file again, or repair it with a recovery tool",
        )
    return VideoUnreadableError(
        f"cannot read {path}", got="a file that is no video", expected="a format that FFmpeg knows"
    )
