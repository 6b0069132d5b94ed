"""Which videos a batch is to work on: files, what lies in folders, and the lines of manifests."""

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...configs.console import count
from ...configs.errors import SettingError, VideoNotFoundError, VideoUnreadableError
from .entry import VIDEO_SUFFIXES, Entry
from .files import check_file, check_text, mode_of, printable
from .manifest import read_manifest

MANIFEST_SUFFIX = ".csv"
_RENDERED_STEMS = (".dft", ".dft.left", ".dft.right")
_PREVIEW = ".preview"


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
    check_text(output, SettingError)
    for path in given:
        check_text(path)
        if stat.S_ISDIR(mode_of(path)):
            found = _in_folder(path, output)
            entries += found.entries
            ignored += found.ignored
        elif path.suffix.lower() == MANIFEST_SUFFIX:
            entries += read_manifest(path)
        else:
            check_file(path)
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
    videos = [path for path in files if stat.S_ISREG(mode_of(path)) and path.suffix.lower() in VIDEO_SUFFIXES]
    own = _renderings(videos, set(files))
    chosen = [path for path in videos if path not in own]
    if not chosen:
        raise VideoNotFoundError(
            f"there is no video in folder {folder}", got=_other_files(len(own), len(files) - len(own)),
            expected="files that end in .mp4, .mov, .mkv or the like",
            hint="renderings are taken if they are given by their names" if own else None,
        )  # fmt: skip
    for path in chosen:
        check_text(path)
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
                f"the output folder {output} lies in the input folder {printable(top)}",
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
        f"folder {printable(error.filename)} cannot be searched", got=error.strerror,
        hint="check its rights and its drive, or give other folders",
    ) from error  # fmt: skip


def _renderings(videos: Sequence[Path], files: set[Path]) -> set[Path]:
    from ..qc import report_path  # which takes long, and processes that work do not need it

    shown = {path.with_name(f"{path.stem}{_PREVIEW}") for path in videos}  # previews of what lies beside them
    return {
        path
        for path in videos
        if path.stem.endswith(_RENDERED_STEMS) or report_path(path) in files or path.with_suffix("") in shown
    }


def _other_files(num_own: int, num_others: int) -> str:
    own = [f"{count(num_own, 'rendering')} of dft's own"] if num_own else []
    others = [count(num_others, "other file")] if num_others else []
    return " and ".join(own + others) or "an empty folder"
