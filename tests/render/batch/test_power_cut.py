"""What a machine that goes down may leave: from any of it comes the right result, or one clear line."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dft.analyze.chunks import Chunk
from dft.analyze.evidence import ChunkEvidence, EvidenceStore
from dft.analyze.pipeline import analyze
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import DftError, OutputError, TrackFileError
from dft.configs.rendering import RenderSettings
from dft.configs.settings import build
from dft.engines.join import facts
from dft.render.batch.journal import Journal
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values
from dft.render.batch.state import FOLDER, NAME, PROFILE, BatchState
from dft.render.pipeline import render
from dft.render.segments import Segment, SegmentStore
from dft.trackio.files import read_tracks

from .disturbed import hidden_files, pictures, results

LENGTH = 37  # frames, in three chunks and three segments
VALUES = Values(
    {"chunk_seconds": 0.5, "device": "cpu"},
    {"segment_seconds": 0.5, "device": "cpu", "preset": "ultrafast", "size": "160x90"},
)
ANALYSIS, RENDERING = build(AnalyzeSettings, VALUES.analysis), build(RenderSettings, VALUES.rendering)
TRACKS, VIDEO = "talk.tracks.parquet", "talk.dft.mp4"


class PowerCutError(Exception):
    """Nobody catches it."""


def cut_at(frames: int) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        if done >= frames:
            raise PowerCutError

    return progress


@dataclass(frozen=True)
class Places:
    """What lies where.

    Attributes:
        video: The input.
        whole: Folder with tracks and video.
        analyzing: Folder with the chunks of an analysis that was cut off.
        rendering: Folder with the tracks, and the segments of a rendering that was cut off.
    """

    video: Path
    whole: Path
    analyzing: Path
    rendering: Path


@pytest.fixture(scope="module")
def places(two_people, tmp_path_factory):
    video = two_people(talk=LENGTH) / "talk.mp4"
    whole, analyzing, rendering = (tmp_path_factory.mktemp(name) for name in ("whole", "analyzing", "rendering"))
    analyze(video, whole / TRACKS, settings=ANALYSIS)
    render(video, whole / TRACKS, whole / VIDEO, settings=RENDERING)
    with pytest.raises(PowerCutError):
        analyze(video, analyzing / TRACKS, settings=ANALYSIS, progress=cut_at(30))
    shutil.copy(whole / TRACKS, rendering)
    with pytest.raises(PowerCutError):
        render(video, whole / TRACKS, rendering / VIDEO, settings=RENDERING, progress=cut_at(30))
    places = Places(video, whole, analyzing, rendering)
    assert len(list(chunk_folder(analyzing).glob("chunk-*"))) == 2
    assert len(list(segment_folder(rendering).glob("*.json"))) == 2
    return places


def chunk_folder(folder: Path) -> Path:
    return folder / f".{TRACKS}.chunks"


def segment_folder(folder: Path) -> Path:
    return folder / f".{VIDEO}.segments"


@dataclass(frozen=True)
class Damage:
    """What has become of a file.

    Attributes:
        kind: ``cut`` at a place, ``zeros`` from there on, ``tail`` of something else, or ``gone``.
        place: 0..1 of its length.
    """

    kind: str
    place: float

    def do(self, path: Path) -> None:
        content = path.read_bytes()
        end = round(self.place * len(content))
        match self.kind:
            case "cut":
                path.write_bytes(content[:end])
            case "zeros":
                path.write_bytes(content[:end] + bytes(len(content) - end))
            case "tail":
                path.write_bytes(content + content[: 1 + end] + b"\xff\x00garbage")
            case "gone":
                path.unlink()


damages = st.builds(
    Damage, st.sampled_from(["cut", "cut", "zeros", "tail", "gone"]), st.sampled_from([0.0, 1.0]) | st.floats(0, 1)
)


def damaged_copy(source: Path, scratch: str, which: int, damage: Damage) -> Path:
    """A copy of a folder in which one file is damaged."""
    copy = Path(scratch) / "copy"
    shutil.copytree(source, copy)
    files = sorted(path for path in copy.iterdir() if path.is_file())
    damage.do(files[which % len(files)])
    return copy


def test_both_passes_keep_what_they_have_flushed(places):
    assert sorted(path.name for path in chunk_folder(places.analyzing).iterdir()) == [
        "chunk-00000.npz", "chunk-00001.npz", "key.json",
    ]  # fmt: skip
    suffixes = [path.suffix for path in sorted(segment_folder(places.rendering).iterdir())]
    assert suffixes == [".json", ".mp4"] * 2


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2), damages)
def test_a_damaged_chunk_is_whole_or_missing(places, which, damage):
    key = json.loads((chunk_folder(places.analyzing) / "key.json").read_text())
    with TemporaryDirectory() as scratch:
        store = EvidenceStore(damaged_copy(chunk_folder(places.analyzing), scratch, which, damage), key)
        for chunk in (Chunk(0, 0, 13), Chunk(1, 13, 26)):
            wanted, got = EvidenceStore(chunk_folder(places.analyzing), key).load(chunk), store.load(chunk)
            assert wanted is not None
            for item in fields(ChunkEvidence) if got is not None else ():
                np.testing.assert_array_equal(getattr(got, item.name), getattr(wanted, item.name))


def test_chunks_of_another_key_are_missing_even_where_they_could_not_be_removed(places, tmp_path, monkeypatch):
    folder = tmp_path / "chunks"
    shutil.copytree(chunk_folder(places.analyzing), folder)
    key = json.loads((folder / "key.json").read_text())
    monkeypatch.setattr(EvidenceStore, "remove", lambda self: None)  # as on a disk that has turned read-only meanwhile
    other = EvidenceStore(folder, {**key, "model": "another"})
    other.make()
    assert other.load(Chunk(0, 0, 13)) is None
    assert EvidenceStore(folder, key).load(Chunk(0, 0, 13)) is not None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), damages)
def test_a_damaged_segment_is_whole_or_missing(places, which, damage):
    notes = [json.loads(note.read_text()) for note in sorted(segment_folder(places.rendering).glob("*.json"))]
    segments = [Segment(note["first"], note["end"], note["key"]) for note in notes]
    with TemporaryDirectory() as scratch:
        copy = damaged_copy(segment_folder(places.rendering), scratch, which, damage)
        store = SegmentStore(Path(scratch) / VIDEO)
        copy.rename(store.folder)
        store.look(segments)
        for segment, note in zip(segments, notes, strict=True):
            if store.has(segment):
                assert facts(store.path(segment))[0].digest == note["digest"]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2), damages)
def test_an_analysis_goes_on_from_damaged_chunks_to_the_same_bytes(places, which, damage):
    with TemporaryDirectory() as scratch:
        copy = damaged_copy(chunk_folder(places.analyzing), scratch, which, damage)
        copy.rename(chunk_folder(Path(scratch)))
        analyze(places.video, Path(scratch) / TRACKS, settings=ANALYSIS)
        assert (Path(scratch) / TRACKS).read_bytes() == (places.whole / TRACKS).read_bytes()
        assert [path.name for path in Path(scratch).iterdir()] == [TRACKS]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 3), damages)
def test_a_rendering_goes_on_from_damaged_segments_to_the_same_pictures(places, which, damage):
    with TemporaryDirectory() as scratch:
        copy = damaged_copy(segment_folder(places.rendering), scratch, which, damage)
        copy.rename(segment_folder(Path(scratch)))
        report = render(places.video, places.whole / TRACKS, Path(scratch) / VIDEO, settings=RENDERING)
        assert pictures(Path(scratch) / VIDEO) == pictures(places.whole / VIDEO)
        assert report.reused in (12, 13, 25)
        assert not segment_folder(Path(scratch)).exists()


@settings(max_examples=60, deadline=None)
@given(damages)
def test_a_damaged_track_file_is_told_in_one_line(places, damage):
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / TRACKS
        shutil.copy(places.whole / TRACKS, copy)
        damage.do(copy)
        try:
            got = read_tracks(copy)
        except TrackFileError as error:
            assert "\n" not in str(error) and str(copy) in str(error)
        else:
            assert got.table.equals(read_tracks(places.whole / TRACKS).table)


@pytest.fixture(scope="module")
def done(places, tmp_path_factory):
    """The output folder of a batch that is done."""
    output = tmp_path_factory.mktemp("done") / "out"
    assert again(places, output).num("done") == 1
    return output


def again(places: Places, output: Path):
    return batch([places.video], output, values=VALUES, options=BatchOptions(streams=1))


@settings(max_examples=60, deadline=None)
@given(damages.filter(lambda damage: damage.kind != "gone"))
def test_a_damaged_note_is_right_or_told_in_one_line(done, damage):
    with TemporaryDirectory() as scratch:
        (Path(scratch) / FOLDER).mkdir()
        note = Path(scratch) / FOLDER / NAME
        shutil.copy(done / FOLDER / NAME, note)
        whole = Journal(note, PROFILE).read()
        damage.do(note)
        left = note.read_bytes().rstrip(b"\0").count(b"\n")
        try:
            BatchState(Path(scratch))
        except OutputError as error:
            assert damage.kind == "tail" and left > len(whole) + 1, "only what was put in is refused"
            assert "remove that file" in str(error) and "\n" not in str(error)
        else:
            assert Journal(note, PROFILE).read() == whole[: max(0, left - 1)]


def test_a_batch_whose_note_has_lost_its_end_goes_on(places, done, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(done, output)
    Damage("cut", 0.95).do(output / FOLDER / NAME)
    report = again(places, output)
    assert set(report.videos[0].stages) == {"render"}, "its end was not noted any more, that of the analysis was"
    assert results(output, "talk") == results(done, "talk")


def test_a_batch_whose_note_is_lost_replaces_nothing_unasked(places, done, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(done, output)
    (output / FOLDER / NAME).unlink()
    with pytest.raises(DftError, match="exists"):
        again(places, output)


@pytest.mark.parametrize("step", ["analyze", "render"])
def test_a_batch_goes_on_from_debris(places, done, tmp_path, step):
    """Locks, unfinished files, empty and cut parts, half a line of the note, all at once."""
    output = tmp_path / "out"
    output.mkdir()
    shutil.copytree(done / FOLDER, output / FOLDER)
    note = output / FOLDER / NAME
    until = '"step": "analyze"' if step == "analyze" else '"step": "render"'
    lines = note.read_text().splitlines(keepends=True)
    begin = next(number for number, line in enumerate(lines) if until in line)
    assert '"done": false' in lines[begin] and '"done": true' in lines[begin + 1]
    note.write_text("".join(lines[: begin + 1]) + lines[begin + 1][:50])
    for name in (".talk.tracks.partial-77-0.parquet", ".talk.dft.partial-77-1.mp4", ".batch.partial-77-2.json"):
        (output / name).write_bytes(b"half")
    (output / FOLDER / ".state.partial-77-3.jsonl").write_bytes(b"{")
    if step == "analyze":
        shutil.copytree(chunk_folder(places.analyzing), chunk_folder(output))
        (chunk_folder(output) / "chunk-00001.npz").write_bytes(b"")
        (chunk_folder(output) / ".chunk-00002.partial-77-4.npz").write_bytes(b"PK")
    else:
        shutil.copy(done / TRACKS, output)
        shutil.copytree(segment_folder(places.rendering), segment_folder(output))
        first, second = sorted(segment_folder(output).glob("*.mp4"))
        Damage("cut", 0.5).do(first)
        Damage("tail", 0.5).do(second)
        (segment_folder(output) / "00000026-0123456789abcdef.partial.mp4").write_bytes(b"")
    report = again(places, output)
    assert report.num("done") == 1
    resumed = report.videos[0].stages[step]["resumed"]
    assert resumed == {"analyze": 13, "render": 12}[step], "what was whole was taken"
    assert results(output, "talk") == results(done, "talk")
    assert hidden_files(output) == [FOLDER]
