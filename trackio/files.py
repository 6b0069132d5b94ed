"""Reading and writing track files, and telling whether one belongs to a video."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..configs.errors import TrackFileError, TrackFileNotFoundError, TrackFormatError, TrackMismatchError
from .atomic import atomic_output
from .fingerprint import fingerprint
from .metadata import TrackMetadata
from .schema import PROFILE, conform
from .validate import validate

ROW_GROUP_ROWS = 100_000
SUFFIX = ".tracks.parquet"


@dataclass(frozen=True)
class TrackFile:
    """A track file in memory.

    Attributes:
        path: Where it was read from.
        table: Its rows, in the types of ``schema.SCHEMA``; further columns follow.
        metadata: What it says about the video.
    """

    path: Path
    table: pa.Table
    metadata: TrackMetadata


def default_tracks_path(video: Path) -> Path:
    """Where the tracks of ``video`` lie if not said otherwise: beside ``in.mp4``, ``in.tracks.parquet``."""
    return Path(video).parent / f"{Path(video).stem}{SUFFIX}"


def write_tracks(path: Path, table: pa.Table, metadata: TrackMetadata, *, overwrite: bool = False) -> None:
    """Write a track file; it appears whole under its name or not at all.

    Args:
        path: The file.
        table: Rows of the profile; other index widths and plain strings are brought to it.
        metadata: Goes into the file's key ``dft_tracks``.
        overwrite: Whether an existing file may be replaced.

    Raises:
        TrackFormatError: Table or metadata do not keep to the profile.
        OutputError: The file cannot be written; ``OutputExistsError`` where it exists.
    """
    validate(table, metadata)
    table = conform(table)
    keys = {**(table.schema.metadata or {}), PROFILE.encode(): metadata.to_json().encode()}
    with atomic_output(Path(path), overwrite=overwrite) as temporary:
        pq.write_table(
            table.replace_schema_metadata(keys), temporary, compression="zstd", row_group_size=ROW_GROUP_ROWS
        )


def read_tracks(path: Path, *, check: bool = True) -> TrackFile:
    """Read a track file.

    Args:
        path: The file.
        check: Whether the rows are validated; columns and types always are.

    Raises:
        TrackFileNotFoundError: There is no such file.
        TrackFormatError: It is no Parquet file, or does not keep to the profile.
        TrackFileError: The system does not let it be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            metadata = _metadata_of(file.schema_arrow)
            table = file.read()
        if check:
            validate(table, metadata)
        table = conform(table)
    except TrackFormatError as error:
        raise _located(path, error) from error
    except FileNotFoundError as error:
        raise TrackFileNotFoundError(
            f"there is no track file {path}", hint="make it with: dft analyze VIDEO"
        ) from error
    except pa.ArrowException as error:
        raise TrackFormatError(f"{path} is not a whole Parquet file", got=error) from error
    except OSError as error:
        if error.errno is None:  # pyarrow's, about what it read; the system's have a number
            raise TrackFormatError(f"{path} is damaged", got=error) from error
        raise TrackFileError(f"cannot read track file {path}", got=error.strerror) from error
    return TrackFile(path, _without_key(table), metadata)


def check_same_video(track_file: TrackFile, video_path: Path, *, force: bool) -> bool:
    """Make sure that the tracks belong to the video.

    Args:
        track_file: The tracks.
        video_path: The video.
        force: Go on with another video, as after a remux that changed no frame.

    Returns:
        Whether it is the same video; False only with ``force``.

    Raises:
        TrackMismatchError: It is another video.
        VideoNotFoundError, VideoUnreadableError: The video cannot be read.
    """
    got, expected = fingerprint(Path(video_path)), track_file.metadata.video.sha256
    if got != expected and not force:
        raise TrackMismatchError(
            f"{track_file.path} belongs to another video than {video_path}",
            got=f"fingerprint {got[:12]}",
            expected=expected[:12],
            hint="analyze this video, or use --force if its frames are the same",
        )
    return got == expected


def _metadata_of(schema: pa.Schema) -> TrackMetadata:
    text = (schema.metadata or {}).get(PROFILE.encode())
    if text is None:
        raise TrackFormatError(
            f"no key {PROFILE} in the Parquet metadata",
            hint="it was not written by dft, or another tool dropped it",
        )
    try:
        return TrackMetadata.from_json(text.decode())
    except UnicodeDecodeError as error:
        raise TrackFormatError("track metadata is not UTF-8", got=error) from error


def _without_key(table: pa.Table) -> pa.Table:
    keys = {key: value for key, value in (table.schema.metadata or {}).items() if key != PROFILE.encode()}
    return table.replace_schema_metadata(keys or None)


def _located(path: Path, error: TrackFormatError) -> TrackFormatError:
    return TrackFormatError(f"track file {path}: {error.what}", got=error.got, expected=error.expected, hint=error.hint)
