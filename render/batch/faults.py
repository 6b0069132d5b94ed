"""What went wrong with a video, what was done about it, and when a batch is no good as a whole."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from ...configs.errors import DftError
from ...configs.recovery import Recovery
from ...engines.memory import failure, is_full
from .plan import Step

FaultKind = Literal["error", "unexpected", "died", "hung", "recovered"]

MAX_TRIES = 2  # of a step whose process died or hung
MAX_NODES_LOST = 5  # while a step ran there: a machine that is lost says little about the video
DEGRADED_SHARE = 0.05  # of videos that failed
STOP_SHARE = 0.5
STOP_LEAST = 4  # videos that are through, before their share says anything

ALONE = "the other videos are not affected"


@dataclass(frozen=True)
class Fault:
    """Something that went wrong.

    Attributes:
        stage: The step in which it did.
        kind: ``error``: dft said so; ``unexpected``: any other error; ``died`` and ``hung``: its process;
            ``recovered``: the step came to a good end all the same.
        cause: In one line.
        answer: What was done about it, or what to do.
    """

    stage: Step
    kind: FaultKind
    cause: str
    answer: str

    @property
    def words(self) -> str:
        """All of it in one line."""
        return f"{self.stage}, {self.kind}: {self.cause}; {self.answer}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"stage": self.stage, "kind": self.kind, "cause": self.cause, "answer": self.answer}


def fault_of(stage: Step, error: Exception) -> Fault:
    """What a pass raised."""
    if isinstance(error, DftError):
        return Fault(stage, "error", str(error), ALONE)
    if is_full(error):
        return Fault(stage, "error", str(failure("memory is full", error)), ALONE)
    line = " ".join(f"{type(error).__name__}: {error}".split())
    return Fault(stage, "unexpected", line, f"{ALONE}; this is a fault of dft, please report it")


def recovered(stage: Step, recoveries: Iterable[Recovery]) -> tuple[Fault, ...]:
    """What went wrong within a pass, and was answered there."""
    return tuple(Fault(stage, "recovered", recovery.cause, recovery.answer) for recovery in recoveries)


def lost(stage: Step, kind: Literal["died", "hung"], how: str, tries: int, nodes_lost: int = 0) -> Fault:
    """A process died or hung, at the given try; so many of them died with their machines."""
    cause = f"its process {how}"
    if not is_given_up(tries, nodes_lost):
        return Fault(stage, kind, cause, "begun again in a new process, from what was finished")
    return Fault(stage, kind, cause, f"given up after {tries} tries; {ALONE}")


def is_given_up(tries: int, nodes_lost: int) -> bool:
    """Whether a step is not begun again, after so many tries, so many of which ended with their machines."""
    return tries - nodes_lost >= MAX_TRIES or nodes_lost >= MAX_NODES_LOST


def is_degraded(failed: int, through: int) -> bool:
    """Whether more videos failed than may be expected."""
    return failed > DEGRADED_SHARE * through


def is_hopeless(failed: int, through: int) -> bool:
    """Whether so many failed that something is wrong with all of them."""
    return through >= STOP_LEAST and failed > STOP_SHARE * through
