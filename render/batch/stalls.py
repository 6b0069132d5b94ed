"""Reading where nobody may answer: a network drive that is gone would hold up the whole batch."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ...configs.errors import VideoUnreadableError

T = TypeVar("T")

ANSWER_SECONDS = 60.0  # for two MiB, from a drive that may have to spin up


class NoAnswerError(VideoUnreadableError):
    """A file does not answer; nor, most likely, do the others beside it."""


def in_time(read: Callable[[], T], path: Path, seconds: float | None = None) -> T:
    """What ``read`` returns; it is left alone in its thread if it takes too long.

    Args:
        read: Reads a part of a file, or asks for it.
        path: The file, for the error.
        seconds: For the answer; :data:`ANSWER_SECONDS` if None.

    Raises:
        NoAnswerError: It takes longer.
        BaseException: Whatever ``read`` raises.
    """
    seconds = ANSWER_SECONDS if seconds is None else seconds
    answers: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(read())
        except BaseException as error:
            errors.append(error)

    reader = threading.Thread(target=work, name="dft-read", daemon=True)
    reader.start()
    reader.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise NoAnswerError(f"{path} does not answer", got=f"nothing within {seconds:g} s", hint="is its drive there?")
    return answers[0]
