"""Which videos a batch is to work on: files, what lies in a folder, or the lines of a manifest."""

import csv
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from ...configs.analysis import AnalyzeSettings
from ...configs.console import count
from ...configs.errors import DftError, SettingError, VideoNotFoundError, VideoUnreadableError
from ...configs.rendering import RenderSettings
from ...configs.settings import Setting, all_settings
from ...engines.join import CONTAINERS
from .stalls import in_time

VIDEO_SUFFIXES = {
    ".3gp", ".avi", ".dv", ".flv", ".h264", ".hevc", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
}  # fmt: skip
MANIFEST_SUFFIX = ".csv"
OWN_COLUMNS = ("video", "output", "priority")
RENDERING_SUFFIX = ".dft.mp4"
_RENDERED_STEMS = (".dft", ".dft.left", ".dft.right")
_NOT_THERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Entry:
    """A video that is to be worked on.

    Attributes:
        video: The file.
        name: Its results' path within the output folder, without their suffixes.
        priority: Higher ones come first.
        settings: Values of its own, of settings of either pass, by name.
        suffix: Of its rendering.
        where: Manifest and line, to begin an error with; empty for what is in none.
    """

    video: Path
    name: str
    priority: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = RENDERING_SUFFIX
    where: str = ""


@dataclass(frozen=True)
class Inputs:
    """What was found.

    Attributes:
        entries: The videos.
        ignored: Files in folders whose names are not those of videos, and dft's own renderings.
    """

    entries: tuple[Entry, ...]
    ignored: tuple[Path, ...] = ()


def find_inputs(given: Sequence[Path], output: Path) -> Inputs:
    """The videos that are meant by what was given.

    A file is named by its stem. A folder is searched with its subfolders, hidden ones left out, for files with a
    video's suffix; they keep their place within it, so that ``day1/talk.mp4`` and ``day2/talk.mp4`` are two. Links are
    followed, after all else, and each folder is searched once. Renderings of dft's own, by their names or by the
    reports beside them, are left out; given by name, they are taken. A video that is meant more than once, also
    through links, is taken once; from a manifest, once for each output and settings.

    Args:
        given: Files, folders, and manifests (``.csv``).
        output: The output folder.

    Raises:
        VideoNotFoundError: There is no such file, or no video in a folder.
        VideoUnreadableError: It is a pipe or a device, does not answer, may not be looked at, or its name is not UTF-8.
        SettingError: A manifest is not right, ``output`` lies in a folder that is searched, or its name is not UTF-8.
    """
    entries: list[Entry] = []
    ignored: list[Path] = []
    _check_text(output, SettingError)
    for path in given:
        _check_text(path)
        if stat.S_ISDIR(_mode(path)):
            found = _in_folder(path, output)
            entries += found.entries
            ignored += found.ignored
        elif path.suffix.lower() == MANIFEST_SUFFIX:
            entries += read_manifest(path)
        else:
            _check_file(path)
            entries.append(Entry(path, path.stem))
    return Inputs(_each_once(entries), tuple(ignored))


def _each_once(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    """Each video once, by a name that is no link if there is one; from a manifest, for each output and settings."""
    files = {entry.video: os.path.realpath(entry.video) for entry in entries}
    first: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.video.is_symlink()):
        if not entry.where:
            first.setdefault(files[entry.video], entry)
    kept: dict[tuple[Any, ...], Entry] = {}
    for entry in entries:
        key = files[entry.video], entry.name, entry.suffix, *sorted(entry.settings.items())
        if (entry.where or first[files[entry.video]] is entry) and (
            key not in kept or entry.priority > kept[key].priority
        ):
            kept[key] = entry
    return tuple(kept.values())


def _in_folder(folder: Path, output: Path) -> Inputs:
    files = _files_in(folder, output)
    # all are looked at: what cannot be may be a link to a folder of videos
    videos = [path for path in files if stat.S_ISREG(_mode(path)) and path.suffix.lower() in VIDEO_SUFFIXES]
    own = _renderings(videos, set(files))
    chosen = [path for path in videos if path not in own]
    if not chosen:
        raise VideoNotFoundError(
            f"there is no video in folder {folder}", got=_other_files(len(own), len(files) - len(own)),
            expected="files that end in .mp4, .mov, .mkv or the like",
            hint="renderings are taken if they are given by their names" if own else None,
        )  # fmt: skip
    for path in chosen:
        _check_text(path)
    entries = tuple(Entry(path, path.relative_to(folder).with_suffix("").as_posix()) for path in chosen)
    return Inputs(entries, tuple(path for path in files if path not in set(chosen)))


def _files_in(folder: Path, output: Path) -> list[Path]:
    """All but hidden files, sorted. Linked folders come after all others, which so keep their own names."""
    files: list[Path] = []
    searched: set[str] = set()
    waiting = [folder]
    for top in waiting:  # which grows
        if Path(os.path.realpath(output)).is_relative_to(os.path.realpath(top)):
            raise SettingError(
                f"the output folder {output} lies in the input folder {_printable(top)}",
                hint="choose a folder outside of it",
            )
        for place, folders, names in os.walk(top, onerror=_not_searched):
            real = os.path.realpath(place)
            folders[:] = [] if real in searched else sorted(name for name in folders if not name.startswith("."))
            if real not in searched:
                waiting += [path for name in folders if (path := Path(place, name)).is_symlink()]
                files += [Path(place, name) for name in names if not name.startswith(".")]
            searched.add(real)
    return sorted(files)


def _not_searched(error: OSError) -> NoReturn:
    raise VideoUnreadableError(
        f"folder {_printable(error.filename)} cannot be searched", got=error.strerror,
        hint="check its rights and its drive, or give other folders",
    ) from error  # fmt: skip


def _renderings(videos: Iterable[Path], files: set[Path]) -> set[Path]:
    from ..qc import report_path  # which takes long, and processes that work do not need it

    return {path for path in videos if path.stem.endswith(_RENDERED_STEMS) or report_path(path) in files}


def _other_files(num_own: int, num_others: int) -> str:
    own = [f"{count(num_own, 'rendering')} of dft's own"] if num_own else []
    others = [count(num_others, "other file")] if num_others else []
    return " and ".join(own + others) or "an empty folder"


def stat_of(path: Path, where: str = "", kind: str = "video") -> os.stat_result:
    """What the system tells of an input.

    Args:
        path: The file.
        where: What an error begins with.
        kind: What it should be.

    Raises:
        VideoNotFoundError: There is none.
        VideoUnreadableError: The system refuses, or does not answer.
    """
    try:
        return in_time(path.stat, path)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise VideoNotFoundError(f"{where}there is no {kind} {_printable(path)}", hint="check the path") from error
        raise VideoUnreadableError(
            f"{where}{_printable(path)} cannot be looked at", got=error.strerror,
            hint="check the path, its rights and its drive",
        ) from error  # fmt: skip


def _mode(path: Path) -> int:
    """Kind and rights of a file; 0 if there is none."""
    try:
        return stat_of(path).st_mode
    except VideoNotFoundError:
        return 0


def _check_file(path: Path, where: str = "", kind: str = "video") -> None:
    mode = stat_of(path, where, kind).st_mode
    if not stat.S_ISREG(mode):
        raise VideoUnreadableError(
            f"{where}{path} is no file", got="a folder" if stat.S_ISDIR(mode) else "a pipe or device",
            expected=f"a {kind} file, which is read more than once",
        )  # fmt: skip


def _check_text(path: Path, error: type[DftError] = VideoUnreadableError) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as reason:
        raise error(
            "the name of a file or folder is not UTF-8", got=_printable(path), expected="UTF-8", hint="rename it"
        ) from reason


def _printable(path: Path | str) -> str:
    """A path as text that can be written anywhere: bytes that are not UTF-8 are escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


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
    _check_file(path, kind="manifest")
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
    _check_file(video, where)
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


def growing(paths: Iterable[Path], now: float, quiet_seconds: float) -> Iterator[Path]:
    """Those of ``paths`` that were modified less than ``quiet_seconds`` before ``now``, seconds since the epoch.

    Raises:
        VideoError: There is no such file, or it cannot be looked at.
    """
    for path in paths:
        if abs(now - stat_of(path).st_mtime) < quiet_seconds:
            yield path
