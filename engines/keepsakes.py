"""What a file says beside its streams: metadata, dispositions, chapters; carried over, and what is lost is named."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

TECHNICAL = {
    "encoder", "duration", "vendor_id", "rotate", "major_brand", "minor_version", "compatible_brands",
    "filename", "mimetype", "bps", "number_of_frames", "number_of_bytes",
}  # fmt: skip
"""Facts of the old file as such, in lower case; the muxer writes its own."""

OF_THE_PICTURE = {"language", "title", "handler_name", "timecode", "creation_time"}
"""What still holds of a picture that is encoded anew."""

QUICKTIME_LANGUAGES = {
    "deu": "ger", "nld": "dut", "ell": "gre", "isl": "ice", "zho": "chi", "sqi": "alb", "mkd": "mac", "hye": "arm",
    "kat": "geo", "bod": "tib", "mya": "bur", "msa": "may", "cym": "wel", "eus": "baq",
}  # fmt: skip
"""ISO 639-2/T codes that FFmpeg's table of QuickTime's languages holds under their 639-2/B form."""


@dataclass(frozen=True)
class Wanted:
    """What one stream of the output should say of itself.

    Attributes:
        label: The stream in words.
        kind: FFmpeg's name of its media type.
        metadata: Keys in lower case, and values.
        disposition: FFmpeg's flags.
    """

    label: str
    kind: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    disposition: int = 0


def label_of(stream: Any) -> str:
    """The stream in words: kind, codec, language."""
    name = stream.codec_context.name if stream.codec_context else getattr(stream, "name", None)
    said = meaningful(stream.metadata)
    language, name = said.get("language"), name or said.get("handler_name")
    return f"{stream.type} in {name or 'an unknown codec'}" + (f" ({language})" if language else "")


def meaningful(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata under FFmpeg's usual names in lower case, without facts of the old file as such.

    Matroska shouts some names, and MP4 gives a stream's title back as ``name``.
    """
    kept = {}
    for name, value in metadata.items():
        key = name.lower()
        if value and key not in TECHNICAL and not key.startswith("_statistics") and (key, value) != ("language", "und"):
            kept[key] = value
    if "name" in kept:
        kept.setdefault("title", kept.pop("name"))
    return kept


def carry(target: Any, metadata: Mapping[str, str], disposition: int, format_name: str) -> None:
    """Give an output stream its metadata and disposition."""
    values = dict(metadata)
    if format_name == "mov" and "language" in values:
        values["language"] = QUICKTIME_LANGUAGES.get(values["language"], values["language"])
    target.metadata.update(values)
    target.disposition = disposition


def sound_chapters(chapters: Iterable[Mapping[str, Any]], shift: Fraction = Fraction(0)) -> list[Any]:
    """Chapters in order, numbered from 1, that every muxer takes: none begins before 0 or ends before it begins.

    Args:
        chapters: As PyAV gives them.
        shift: Seconds by which the output's times are later than the source's.
    """
    made: list[Any] = []
    for chapter in sorted(chapters, key=lambda one: one["start"] * (one["time_base"] or 0)):
        time_base = chapter["time_base"]
        if time_base:
            moved = round(shift / time_base)
            start = max(0, chapter["start"] + moved)
            end = max(start, chapter["end"] + moved)
            made.append(
                {**chapter, "id": len(made) + 1, "start": start, "end": end, "metadata": dict(chapter["metadata"])}
            )
    return made


def losses(path: Path, metadata: Mapping[str, str], streams: Iterable[Wanted], num_chapters: int) -> list[str]:
    """What the finished file at ``path`` does not say although it should, in words.

    Args:
        path: The output, complete.
        metadata: What the file should say of itself, keys in lower case.
        streams: What each stream should say, in the file's order within each kind.
        num_chapters: How many chapters it should have.
    """
    notes = []
    with av.open(str(path), metadata_errors="ignore") as container:
        name = path.suffix.lower().lstrip(".")
        if missing := sorted(set(metadata) - set(meaningful(container.metadata))):
            notes.append(f"metadata left out, {name} cannot hold it: {', '.join(missing)}")
        if (there := len(container.chapters())) < num_chapters:
            notes.append(f"{num_chapters - there} of {num_chapters} chapters were left out")
        found: dict[str, list[Any]] = {}
        for stream in container.streams:
            found.setdefault(stream.type, []).append(stream)
        for wanted in streams:
            others = found.get(wanted.kind, [])
            if not others:
                notes.append(f"{wanted.label} was left out: it holds nothing that {name} can keep")
            elif lost := _lost(wanted, others.pop(0)):
                notes.append(f"{wanted.label} lost what {name} cannot hold: {', '.join(lost)}")
    return notes


def _lost(wanted: Wanted, stream: Any) -> list[str]:
    there = meaningful(stream.metadata)
    lost = sorted(set(wanted.metadata) - set(there))
    language = wanted.metadata.get("language")
    if "language" in there and there["language"] not in (language, QUICKTIME_LANGUAGES.get(language or "", language)):
        lost.append("language")
    flags = Disposition(wanted.disposition & ~int(stream.disposition))
    return [*lost, *(f"the mark '{flag.name}'" for flag in flags)]
