"""What is costly to make and can be made again, kept in the user's cache folder."""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

DIGEST_SIZE = hashlib.sha256().digest_size


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/dft``, or ``~/.cache/dft`` (XDG Base Directory Specification: relative paths are ignored).

    Raises:
        RuntimeError: The user has no home folder.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (folder if folder.is_absolute() else Path.home() / ".cache") / "dft"


def cached(name: str, make: Callable[[], bytes]) -> bytes:
    """The content kept under ``name``, or else what ``make`` gives, which is then kept.

    ``name`` must tell everything that the content depends on. A file begins with the SHA-256 of what follows; one that
    does not fit, or cannot be read, is made again. A folder that cannot be written costs time, and is no error.
    """
    try:
        path = cache_folder() / name
    except RuntimeError as error:
        log.debug("no cache: %s", error)
        return make()
    content = _read(path)
    if content is None:
        content = make()
        _write(path, content)
    return content


def _read(path: Path) -> bytes | None:
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    digest, content = stored[:DIGEST_SIZE], stored[DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        log.warning("%s is damaged and is made again", path)
        return None
    return content


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        log.debug("%s cannot be kept: %s", path, error)
        return
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(content).digest())
            file.write(content)
        Path(temporary).replace(path)  # readers see all of it or nothing
    except OSError as error:
        log.debug("%s cannot be kept: %s", path, error)
        with suppress(OSError):
            Path(temporary).unlink()
