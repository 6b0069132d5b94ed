"""Which videos a batch is to work on: files, what lies in a folder, or the lines of a manifest."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...configs.analysis import AnalyzeSettings
from ...configs.errors import DftError, SettingError, VideoNotFoundError, VideoUnreadableError
from ...configs.rendering import RenderSettings
from ...configs.settings import Setting, all_settings
from .stalls import in_time

VIDEO_SUFFIXES = {
    ".3gp", ".avi", ".dv", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
}  # fmt: skip
MANIFEST_SUFFIX = ".csv"
OWN_COLUMNS = ("video", "output", "priority")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Entry:
    """A video that is to be worked on.

    Attributes:
        video: The file.
        name: Its results' path within the output folder: without a suffix, or with that of the rendering.
        priority: Higher ones come first.
        settings: Values of its own, of settings of either pass, by name.
    """

    video: Path
    name: str
    priority: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Inputs:
    """What was found.

    Attributes:
        entries: The videos.
        ignored: Files in folders whose names are not those of videos.
    """

    entries: tuple[Entry, ...]
    ignored: tuple[Path, ...] = ()


def find_inputs(given: Sequence[Path], output: Path) -> Inputs:
    """The videos that are meant by what was given.

    A file is named by its stem. A folder is searched with its subfolders, hidden ones left out, for files with a
    video's suffix; they keep their place within it, so that ``day1/talk.mp4`` and ``day2/talk.mp4`` are two.

    Args:
        given: Files, folders, and manifests (``.csv``).
        output: The output folder.

    Raises:
        VideoNotFoundError: There is no such file, or no video in a folder.
        VideoUnreadableError: It is a pipe or a device, or does not answer.
        SettingError: A manifest is not right, or ``output`` lies in a folder that is searched.
    """
    entries: list[Entry] = []
    ignored: list[Path] = []
    for path in given:
        if in_time(path.is_dir, path):
            found = _in_folder(path, output)
            entries += found.entries
            ignored += found.ignored
        elif path.suffix.lower() == MANIFEST_SUFFIX:
            entries += read_manifest(path)
        else:
            _check_file(path)
            entries.append(Entry(path, path.stem))
    return Inputs(tuple(entries), tuple(ignored))


def _in_folder(folder: Path, output: Path) -> Inputs:
    if output.resolve().is_relative_to(folder.resolve()):
        raise SettingError(
            f"the output folder {output} lies in the input folder {folder}", hint="choose a folder outside of it"
        )
    files = sorted(path for path in folder.rglob("*") if not path.is_dir() and not _is_hidden(path.relative_to(folder)))
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if not videos:
        raise VideoNotFoundError(
            f"there is no video in folder {folder}", got=f"{len(files)} other files" if files else "an empty folder",
            expected="files that end in .mp4, .mov, .mkv or the like",
        )  # fmt: skip
    entries = tuple(Entry(path, path.relative_to(folder).with_suffix("").as_posix()) for path in videos)
    return Inputs(entries, tuple(path for path in files if path not in set(videos)))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _check_file(path: Path, where: str = "") -> None:
    if not in_time(path.exists, path):
        raise VideoNotFoundError(f"{where}there is no video {path}", hint="check the path")
    if not path.is_file():
        raise VideoUnreadableError(
            f"{where}{path} is no file", got="a folder" if path.is_dir() else "a pipe or device",
            expected="a video file, which is read more than once",
        )  # fmt: skip


def read_manifest(path: Path) -> list[Entry]:
    """The lines of a manifest: CSV with a header.

    Columns are ``video`` (a path; from the manifest's folder, if it is relative), and, where wanted, ``output`` (a path
    within the output folder), ``priority`` (a whole number, higher ones come first) and settings of either pass by
    name. An empty field is as good as none.

    Raises:
        VideoNotFoundError: There is no such manifest, or a video is missing.
        VideoUnreadableError: A video is a folder, a pipe or a device, or does not answer.
        SettingError: A column is missing or unknown, or a value cannot be.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = _checked_columns(path, rows.fieldnames or ())
            return [_entry(path, rows.line_num, columns, row) for row in rows]
    except DftError:
        raise
    except FileNotFoundError as error:
        raise VideoNotFoundError(f"there is no manifest {path}", hint="check the path") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(
            f"cannot read manifest {path}", got=error, expected="CSV in UTF-8 with a column video"
        ) from error


def settings_by_name() -> dict[str, Setting]:
    """The settings of both passes; what both have, they share."""
    return {**all_settings(RenderSettings), **all_settings(AnalyzeSettings)}


def _checked_columns(path: Path, names: Iterable[str]) -> list[str]:
    columns, known = list(names), {*OWN_COLUMNS, *settings_by_name()}
    if "video" not in columns:
        raise SettingError(
            f"manifest {path} has no column video", got=f"columns {', '.join(columns) or '(none)'}",
            expected="a first line such as video,output,priority",
        )  # fmt: skip
    if unknown := [name for name in columns if name not in known]:
        raise SettingError(
            f"manifest {path} has a column {unknown[0]!r}", expected="video, output, priority or the name of a setting",
            hint="dft settings lists them",
        )  # fmt: skip
    if len(set(columns)) < len(columns):
        raise SettingError(f"manifest {path} has a column twice", got=", ".join(columns))
    return columns


def _entry(path: Path, line: int, columns: Sequence[str], row: Mapping[str, Any]) -> Entry:
    where = f"manifest {path}, line {line}: "
    if None in row or None in row.values():
        raise SettingError(f"{where}not as many fields as columns", expected=f"{len(columns)}: {', '.join(columns)}")
    values = {name: row[name].strip() for name in columns if row[name].strip()}
    if "video" not in values:
        raise SettingError(f"{where}no video is named", expected="the path of a file")
    video = path.parent / values.pop("video")
    _check_file(video, where)
    priority = _read(where, "priority", int, values.pop("priority", "0"))
    output = values.pop("output", video.stem)
    return Entry(video, output, priority, {name: _setting(where, name, text) for name, text in values.items()})


def _setting(where: str, name: str, text: str) -> Any:
    declared = settings_by_name()[name]
    value = _read(where, name, declared.type, text)
    try:
        return declared.check(value)
    except SettingError as error:
        raise SettingError(f"{where}{error.what}", expected=error.expected) from error


def _read(where: str, name: str, kind: type, text: str) -> Any:
    try:
        return _TRUTH[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        words = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise SettingError(f"{where}{name} cannot be {text!r}", expected=words) from error


def growing(paths: Iterable[Path], now: float, quiet_seconds: float) -> Iterator[Path]:
    """Those of ``paths`` that were modified less than ``quiet_seconds`` before ``now``, seconds since the epoch."""
    for path in paths:
        if abs(now - path.stat().st_mtime) < quiet_seconds:
            yield path
