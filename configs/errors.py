"""Every error that dft raises on purpose.

DftError
+-- SettingError              (ValueError)         a setting or option that cannot be
+-- VideoError                                     the input video
|   +-- VideoNotFoundError    (FileNotFoundError)
|   +-- VideoUnreadableError  (ValueError)         not media, no video stream, cut off before its index
|   +-- CorruptVideoError     (ValueError)         too much of it cannot be decoded
|   +-- NoFaceError           (ValueError)         nobody to follow
+-- TrackFileError                                 the track file
|   +-- TrackFileNotFoundError (FileNotFoundError)
|   +-- TrackFormatError      (ValueError)         not the profile dft_tracks
|   +-- TrackMismatchError    (ValueError)         belongs to another video
|   +-- EditLogError          (ValueError)         the log of edits: damaged, or of another track file
|       +-- StaleEditError                         somebody else has edited in the meantime
+-- EditError                 (ValueError)         an edit that these tracks do not allow
+-- EvidenceError             (ValueError)         what an analysis kept for later
+-- OutputError               (OSError)            cannot be written: folder, permission, space
|   +-- OutputExistsError     (FileExistsError)
+-- EngineError                                    hardware, libraries, models
    +-- BackendUnavailableError (ImportError)
    |   +-- EncoderBusyError                       all sessions of a GPU's encoder are at work
    +-- ModelError            (ValueError)         weights missing or not the ones expected
    +-- MemoryFullError       (MemoryError)        of the GPU or of the machine
    +-- DeviceLostError                            a GPU that was there does not answer any more

Each is one line: what went wrong, what was got, what was expected, what to do.
"""

from collections.abc import Sequence


class DftError(Exception):
    """Base of all errors that dft raises on purpose.

    Args:
        what: What went wrong, with the file or setting that it concerns.
        got: What was found.
        expected: What would have been right.
        hint: What the user can do next.
    """

    def __init__(self, what: str, *, got: object = None, expected: object = None, hint: str | None = None):
        self.what, self.got, self.expected, self.hint = what, got, expected, hint
        parts = [what]
        if got is not None:
            parts.append(f"got {got}")
        if expected is not None:
            parts.append(f"expected {expected}")
        if hint is not None:
            parts.append(hint)
        super().__init__("; ".join(" ".join(part.split()) for part in parts))

    @property
    def reason(self) -> str:
        """What went wrong and what was found, without advice, in one line."""
        return " ".join((self.what if self.got is None else f"{self.what}: {self.got}").split())


class SettingError(DftError, ValueError):
    """A setting, option or argument has a value that cannot be."""


class VideoError(DftError):
    """The input video cannot be used."""


class VideoNotFoundError(VideoError, FileNotFoundError):
    """There is no such file."""


class VideoUnreadableError(VideoError, ValueError):
    """The file is no media file, has no video stream, or lacks its index."""


class CorruptVideoError(VideoError, ValueError):
    """More of the video is damaged than may be skipped."""


class NoFaceError(VideoError, ValueError):
    """There is nobody to follow in the whole video."""


class TrackFileError(DftError):
    """The track file cannot be used."""


class TrackFileNotFoundError(TrackFileError, FileNotFoundError):
    """There is no such track file."""


class TrackFormatError(TrackFileError, ValueError):
    """The file does not keep to the profile ``dft_tracks``."""


class TrackMismatchError(TrackFileError, ValueError):
    """The track file belongs to another video."""


class EditLogError(TrackFileError, ValueError):
    """The log of edits is damaged, or belongs to another track file."""


class StaleEditError(EditLogError):
    """An edit was made on an older state of the log than it has by now.

    Attributes:
        revision: Number of records that the log has now.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, hint: str | None = None, revision: int = 0
    ):
        super().__init__(what, got=got, expected=expected, hint=hint)
        self.revision = revision


class EditError(DftError, ValueError):
    """An edit that cannot be done on these tracks.

    Attributes:
        frames: The frames that stand in its way, where there are any.
    """

    def __init__(
        self, what: str, *, got: object = None, expected: object = None, hint: str | None = None,
        frames: Sequence[int] = (),
    ):  # fmt: skip
        super().__init__(what, got=got, expected=expected, hint=hint)
        self.frames = tuple(frames)


class EvidenceError(DftError, ValueError):
    """The kept evidence of an analysis is missing or damaged, or belongs to another track file."""


class OutputError(DftError, OSError):
    """The result cannot be written: folder, permission or space."""

    def __str__(self) -> str:
        return str(self.args[0])


class OutputExistsError(OutputError, FileExistsError):
    """The result exists and was not to be overwritten."""


class EngineError(DftError):
    """Hardware, a library or a model is not as needed."""


class BackendUnavailableError(EngineError, ImportError):
    """The wanted device or library is not there."""


class EncoderBusyError(BackendUnavailableError):
    """All sessions of a GPU's encoder are at work; one may be free later."""


class ModelError(EngineError, ValueError):
    """Model weights are missing, or are not the ones expected."""


class MemoryFullError(EngineError, MemoryError):
    """The memory of the GPU or of the machine is full; what needs less of it may go on."""


class DeviceLostError(EngineError):
    """A GPU that was there does not answer any more."""
