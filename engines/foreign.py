"""Translating PyAV's and the system's errors into dft's, at the boundary."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.error

from ..configs.errors import DftError, VideoError, VideoNotFoundError, VideoUnreadableError

UNREADABLE = (av.error.FFmpegError, OSError, IndexError)
"""What reading on in a damaged file may raise; the last is PyAV's, where damage feigns a further stream."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever FFmpeg or the system says about the input ``path`` into a ``VideoError``."""
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
    except av.error.InvalidDataError as error:
        raise _no_media(path) from error
    except (av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError) as error:
        raise VideoUnreadableError(
            f"cannot read {path}", got=f"a format without a decoder here ({error.strerror})"
        ) from error
    except (*UNREADABLE, ValueError) as error:
        raise VideoError(f"cannot read {path}", got=str(error)) from error


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
