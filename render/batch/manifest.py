"""Manifests: videos, and what is wanted of each, in the lines of a CSV file."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ...configs.analysis import AnalyzeSettings
from ...configs.errors import DftError, SettingError
from ...configs.rendering import RenderSettings
from ...configs.settings import Setting, all_settings
from ...engines.join import CONTAINERS
from .entry import RENDERING_SUFFIX, VIDEO_SUFFIXES, Entry
from .files import check_file

OWN_COLUMNS = ("video", "output", "priority")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def read_manifest(path: Path) -> list[Entry]:
    """The lines of a manifest: CSV with a header.

    Columns are ``video`` (a path; from the manifest's folder, if it is relative), and, where wanted, ``output`` (a path
    within the output folder; a container's suffix chooses that), ``priority`` (a whole number, higher ones come first)
    and settings of either pass by name. An empty field is as good as none.

    Raises:
        VideoNotFoundError: There is no such manifest, or a video is missing.
        VideoUnreadableError: It or a video is a folder, a pipe or a device, does not answer, or may not be looked at.
        SettingError: A column is missing or unknown, or a value cannot be.
    """
    check_file(path, kind="manifest")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            columns = _checked_columns(path, rows.fieldnames or ())
            return [_entry(path, rows.line_num, columns, row) for row in rows]
    except DftError:
        raise
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
    if any("\0" in text for text in row.values()):
        raise SettingError(f"{where}a field has a NUL character", expected="text")
    values = {name: row[name].strip() for name in columns if row[name].strip()}
    if "video" not in values:
        raise SettingError(f"{where}no video is named", expected="the path of a file")
    video = path.parent / values.pop("video")
    check_file(video, where)
    priority = _read(where, "priority", int, values.pop("priority", "0"))
    name, suffix = _output(where, values.pop("output")) if "output" in values else (video.stem, RENDERING_SUFFIX)
    settings = {name: _setting(where, name, text) for name, text in values.items()}
    return Entry(video, name, priority, settings, suffix, where)


def _output(where: str, text: str) -> tuple[str, str]:
    """Name and suffix, as of :class:`Entry`."""
    path = PurePosixPath(text)
    suffix = path.suffix.lower()
    if text.endswith("/") or suffix in VIDEO_SUFFIXES - set(CONTAINERS):
        raise SettingError(
            f"{where}output cannot be {text!r}",
            expected="the path of a file, with or without one of the suffixes .mp4, .mov or .mkv",
        )
    if suffix in CONTAINERS:
        return path.with_suffix("").as_posix(), path.suffix
    return path.as_posix(), RENDERING_SUFFIX


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
