"""What went wrong within a pass that came to a good end all the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recovery:
    """Something that went wrong, and was answered.

    Attributes:
        cause: What went wrong, in one line.
        answer: What was done about it.
    """

    cause: str
    answer: str

    @property
    def note(self) -> str:
        """Both in one line."""
        return f"{self.cause}: {self.answer}"
