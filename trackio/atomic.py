"""Results that are whole under their final name, or not there at all."""

import errno
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..configs.errors import DftError, OutputError, OutputExistsError

_FREE_SPACE = "free some space, or choose another folder"
_RIGHTS = "check the rights of the folder, or choose another"
_ADVICE = {
    errno.ENOSPC: ("the disk is full", _FREE_SPACE),
    errno.EDQUOT: ("the disk quota is used up", _FREE_SPACE),
    errno.EFBIG: (
        "the file grew larger than the file system or a limit allows",
        "raise the limit (ulimit -f), or choose another folder",
    ),
    errno.EACCES: ("permission denied", _RIGHTS),
    errno.EPERM: ("permission denied", _RIGHTS),
    errno.EROFS: ("the file system is read-only", "choose another folder"),
    errno.EIO: ("the device reported an error", "check the disk, or choose another folder"),
    errno.ENOENT: ("the folder or the unfinished file is gone", "create the folder, or choose another"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
}
# Answers of file systems that know no hard links, such as exFAT and some network shares.
_NO_LINKS = {
    errno.EPERM,
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EMLINK,
    errno.EXDEV,
    errno.EACCES,
}
_counter = itertools.count()


def check_output(path: Path, *, overwrite: bool, inputs: Iterable[Path] = ()) -> None:
    """Make sure, before any work, that ``path`` can be written.

    Args:
        path: The result's final name.
        overwrite: Whether a file of that name may be replaced.
        inputs: Files that must not be replaced by the result.

    Raises:
        OutputExistsError: It exists and is not to be overwritten.
        OutputError: It is one of ``inputs``, a folder or no ordinary file, or its folder is missing, is no
            folder or not writable.
    """
    path = Path(path)
    try:
        _check_target(path, overwrite, inputs)
        _check_folder(path.parent)
    except DftError:
        raise
    except OSError as error:
        raise translate_os_error(error, path) from error


def _check_target(path: Path, overwrite: bool, inputs: Iterable[Path]) -> None:
    if not path.exists():
        return
    for source in map(Path, inputs):
        if source.exists() and path.samefile(source):
            raise OutputError(f"the result {path} would replace its own input {source}", hint="choose another name")
    if not stat.S_ISREG(path.stat().st_mode):
        got = "a folder" if path.is_dir() else "a device, pipe or socket"
        raise OutputError(f"cannot write {path}", got=got, expected="the name of a file")
    if not overwrite:
        raise OutputExistsError(f"{path} exists", hint="allow replacing it with --overwrite, or choose another name")


def _check_folder(folder: Path) -> None:
    if not folder.exists():
        raise OutputError(f"there is no folder {folder}", hint="create it, or choose another")
    if not folder.is_dir():
        raise OutputError(f"{folder} is not a folder", hint="choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"folder {folder} is not writable", hint=_RIGHTS)


@contextmanager
def atomic_output(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A temporary name for writing ``path``, which appears under its own name only when the block succeeded.

    The temporary file lies in the same folder and has the same suffix. At the end it is flushed to the disk
    and renamed; after any exception, Ctrl-C included, it is removed. Where ``path`` is a link, the file that
    it points to is replaced.

    Raises:
        OutputExistsError: ``path`` exists, or appeared in the meantime, and is not to be overwritten.
        OutputError: The file system refused; other files' errors and every ``DftError`` pass unchanged.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    target = Path(os.path.realpath(path))
    # The stem is shortened so that a long name stays within the 255 bytes of a file name.
    unfinished = f".{target.stem[:40]}.partial-{os.getpid()}-{next(_counter)}{target.suffix}"
    temporary = target.with_name(unfinished)
    try:
        yield temporary
        flush(temporary)
        _move(temporary, target, overwrite)
        with suppress(OSError):  # not every file system can flush a folder
            flush(target.parent)
    except DftError:
        raise
    except OSError as error:
        if _concerns_another(error, temporary, target):
            raise
        raise translate_os_error(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def translate_os_error(error: OSError, path: Path) -> OutputError:
    """The error to raise in place of ``error``, which occurred while writing ``path``."""
    known = _ADVICE.get(error.errno or 0)
    reason = known[0] if known else (error.strerror or str(error) or type(error).__name__)
    hint = known[1] if known else "choose another folder"
    return OutputError(f"cannot write {path}: {reason}", hint=hint)


def flush(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk: they outlast a power cut from now on.

    Raises:
        OSError: It cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move(temporary: Path, target: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(target)
        return
    try:
        try:
            target.hardlink_to(temporary)  # unlike a rename, it fails where the name is taken
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            temporary.replace(target)
    except FileExistsError as error:
        raise OutputExistsError(
            f"{target} appeared while it was being made", hint="allow replacing it with --overwrite"
        ) from error


def _concerns_another(error: OSError, temporary: Path, target: Path) -> bool:
    if not isinstance(error.filename, str | bytes):
        return False
    named = os.path.realpath(os.fsdecode(error.filename))
    return Path(named) not in (temporary, target, target.parent)
