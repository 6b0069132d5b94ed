"""Pass one over real media with known truth, killed and resumed, without an embedder, decided anew, on bad input."""

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pyarrow.compute as pc
import pytest

from dft.analyze import pipeline
from dft.analyze.boxes import iou
from dft.analyze.pipeline import analyze, evidence_folder, reidentify
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import (
    BackendUnavailableError,
    CorruptVideoError,
    DftError,
    EngineError,
    EvidenceError,
    NoFaceError,
    OutputError,
    OutputExistsError,
    SettingError,
    TrackFileError,
    VideoNotFoundError,
    VideoUnreadableError,
)
from dft.configs.settings import build
from dft.engines.devices import open_embedder
from dft.trackio.files import read_tracks
from dft.trackio.validate import problems

SMALL_CHUNKS = build(AnalyzeSettings, {"chunk_seconds": 0.8, "threads": 2})


@pytest.fixture(scope="module")
def analysed(talk, tmp_path_factory):
    """The report and the track file of an undisturbed run."""
    output = tmp_path_factory.mktemp("whole") / "talk.tracks.parquet"
    return analyze(talk.video, output, settings=SMALL_CHUNKS), output


@pytest.fixture
def spans(monkeypatch) -> list[tuple[int, int]]:
    """Every range of frames that is decoded."""
    asked: list[tuple[int, int]] = []
    real = pipeline.open_decoder

    def recording(*args, **kwargs):
        decoder = real(*args, **kwargs)
        frames = decoder.frames
        decoder.frames = lambda first, end: asked.append((first, end)) or frames(first, end)
        return decoder

    monkeypatch.setattr(pipeline, "open_decoder", recording)
    return asked


class KilledError(Exception):
    pass


def kill_after(num_frames: int):
    def progress(done: int, total: int) -> None:
        if done > num_frames:
            raise KilledError

    return progress


def test_every_visible_face_is_found_with_the_right_name_and_side(analysed, talk):
    table = read_tracks(analysed[1]).table.to_pylist()
    found = {(row["frame_index"], row["person"]): row for row in table if row["person"]}
    visible = [row for row in talk.truth if row.visible]
    right = 0
    for true in visible:
        row = found.get((true.frame_index, true.person))
        if row is None:
            continue
        boxes = [np.array([[r[k] for k in ("x1", "y1", "x2", "y2")]]) for r in (row, vars(true))]
        right += bool(iou(*boxes)[0, 0] >= 0.4)
        assert row["side"] == {"A": "left", "B": "right"}[true.person]
    assert len(visible) > 150
    assert right >= 0.98 * len(visible)
    assert len(found) <= len(visible) * 1.02


def test_shots_are_exact_and_the_file_is_whole(analysed, talk):
    report, output = analysed
    file = read_tracks(output)
    assert [shot.first_frame for shot in file.metadata.shots] == [0, *talk.cuts]
    assert file.metadata.shots[-1].last_frame == talk.scene.num_frames - 1
    assert problems(file.table, file.metadata) == []
    assert file.metadata.persons == report.persons == ("A", "B")
    assert (file.metadata.video.width, file.metadata.video.height) == (640, 360)
    assert file.metadata.video.fps == Fraction(25)
    assert file.metadata.video.duration_seconds == pytest.approx(4.4)
    assert file.metadata.settings["chunk_seconds"] == 0.8
    assert file.metadata.notes == () and report.notes == ()
    assert report.frames == talk.scene.num_frames and report.resumed_frames == 0


def test_nothing_but_the_track_file_is_left(analysed):
    assert [path.name for path in analysed[1].parent.iterdir()] == ["talk.tracks.parquet"]


@pytest.mark.parametrize("killed_after", [3, 55, 75, 109])
def test_a_killed_analysis_goes_on_and_ends_the_same(analysed, talk, tmp_path, spans, killed_after):
    output = tmp_path / "out.parquet"
    with pytest.raises(KilledError):
        analyze(talk.video, output, settings=SMALL_CHUNKS, progress=kill_after(killed_after))
    assert not output.exists()
    done = killed_after // 20 * 20  # chunks are of 20 frames
    chunks = tmp_path / ".out.parquet.chunks"
    assert len(list(chunks.glob("chunk-*.npz"))) == done // 20
    spans.clear()
    seen = []
    report = analyze(talk.video, output, settings=SMALL_CHUNKS, progress=lambda done, total: seen.append((done, total)))
    assert spans == [(done, talk.scene.num_frames)]
    assert report.resumed_frames == done
    assert seen == sorted(seen) and seen[0][0] == done + 1 and seen[-1] == (report.frames, report.frames)
    assert output.read_bytes() == analysed[1].read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_damaged_and_missing_chunks_alone_are_analysed_again(analysed, talk, tmp_path, spans):
    output = tmp_path / "out.parquet"
    with pytest.raises(KilledError):
        analyze(talk.video, output, settings=SMALL_CHUNKS, progress=kill_after(109))
    chunks = tmp_path / ".out.parquet.chunks"
    (chunks / "chunk-00001.npz").unlink()
    (chunks / "chunk-00003.npz").write_bytes(b"half a chunk")
    spans.clear()
    analyze(talk.video, output, settings=SMALL_CHUNKS)
    assert spans == [(20, 40), (60, 80), (100, 110)]
    assert output.read_bytes() == analysed[1].read_bytes()


def test_other_settings_start_anew(talk, tmp_path, spans):
    output = tmp_path / "out.parquet"
    with pytest.raises(KilledError):
        analyze(talk.video, output, settings=SMALL_CHUNKS, progress=kill_after(75))
    spans.clear()
    detection = replace(SMALL_CHUNKS.detection, detect_size=320)
    report = analyze(talk.video, output, settings=replace(SMALL_CHUNKS, detection=detection))
    assert spans == [(0, talk.scene.num_frames)] and report.resumed_frames == 0


def test_settings_of_stage_two_keep_the_evidence(talk, tmp_path, spans):
    output = tmp_path / "out.parquet"
    with pytest.raises(KilledError):
        analyze(talk.video, output, settings=SMALL_CHUNKS, progress=kill_after(75))
    spans.clear()
    analyze(talk.video, output, settings=replace(SMALL_CHUNKS, sides=replace(SMALL_CHUNKS.sides, assign="position")))
    assert spans == [(60, talk.scene.num_frames)]


def test_position_and_identity_agree_where_nobody_changes_place(analysed, talk, tmp_path):
    settings = replace(SMALL_CHUNKS, sides=replace(SMALL_CHUNKS.sides, assign="position"))
    analyze(talk.video, tmp_path / "p.parquet", settings=settings)
    two_shots = pc.field("shot") != 1
    by_position, by_identity = (
        read_tracks(path).table.filter(two_shots)["side"] for path in (tmp_path / "p.parquet", analysed[1])
    )
    assert by_position.to_pylist() == by_identity.to_pylist()


def without_faces(media, path: Path, num_frames: int = 30) -> Path:
    return media.write(
        path, media.recipe(num_frames=num_frames, size=(320, 180)), lambda i: media.picture(i, (320, 180))
    )


def test_no_face(media, tmp_path):
    video = without_faces(media, tmp_path / "v.mp4")
    with pytest.raises(NoFaceError, match=r"no face to follow in .*v\.mp4; got no detection in 30 frames"):
        analyze(video)
    assert not (tmp_path / "v.tracks.parquet").exists()


def test_one_face(talk, media, tmp_path, decoded_talk):
    """The left half of the picture shows A alone."""
    video = media.write(
        tmp_path / "one.mp4",
        media.recipe(num_frames=30, size=(320, 360)),
        lambda i: decoded_talk[i][:, :320],
    )
    report = analyze(video)
    file = read_tracks(tmp_path / "one.tracks.parquet")
    assert report.persons == file.metadata.persons == ("A",)
    assert set(file.table["side"].to_pylist()) == {"left"}
    assert "one person only" in " ".join(file.metadata.notes)


@pytest.fixture(scope="module")
def decoded_talk(talk):
    import av

    with av.open(str(talk.video)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_truncated_video_is_used_as_far_as_it_goes(talk, media, tmp_path, decoded_talk):
    whole = media.write(
        tmp_path / "whole.mp4",
        media.recipe(num_frames=110, size=(640, 360), options=media.x264(10, 2), container_options=FASTSTART),
        decoded_talk.__getitem__,
    )
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 6 // 10])
    report = analyze(cut)
    file = read_tracks(tmp_path / "cut.tracks.parquet")
    assert 20 < report.frames < 100
    assert file.metadata.video.frame_count == report.frames
    (note,) = [n for n in file.metadata.notes if "stops" in n or "stopped" in n]
    assert f"video ends at {report.frames / 25:.1f}" in note and "of stated 4.400 s" in note


FASTSTART = (("movflags", "faststart"),)


def test_a_video_that_is_too_damaged(talk, tmp_path, monkeypatch):
    real = pipeline.open_decoder

    def damaged(*args, **kwargs):
        decoder = real(*args, **kwargs)
        frames = decoder.frames
        decoder.frames = lambda first, end: (f for f in frames(first, end) if f.frame_index not in range(30, 60))
        return decoder

    monkeypatch.setattr(pipeline, "open_decoder", damaged)
    output = tmp_path / "out.parquet"
    with pytest.raises(CorruptVideoError, match=r"talk\.mp4 is too damaged; got 30 of 110 frames .* after 1\.6 s"):
        analyze(talk.video, output, settings=SMALL_CHUNKS)
    assert not output.exists()
    lenient = replace(SMALL_CHUNKS, detection=replace(SMALL_CHUNKS.detection, max_corrupt=0.5))
    report = analyze(talk.video, output, settings=lenient)
    assert "30 of 110 frames could not be decoded" in report.notes
    assert [shot.first_frame for shot in read_tracks(output).metadata.shots] in ([0, 60, 75], [0, 75])


@pytest.fixture
def timeless(talk, tmp_path) -> Path:
    """The talk, whose faces move, with all frames at one time."""
    path = tmp_path / "timeless.mkv"
    with av.open(str(talk.video)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream, packet.pts, packet.dts = stream, 0, 0
                container.mux_one(packet)
    return path


def test_a_video_without_times_is_refused(timeless):
    with pytest.raises(
        CorruptVideoError,
        match=r"timeless\.mkv has no usable time stamps; got 109 of 110 frames at the time of another",
    ) as caught:
        analyze(timeless, settings=SMALL_CHUNKS)
    assert "\n" not in str(caught.value)
    assert list(timeless.parent.iterdir()) == [timeless]


def test_a_video_without_times_is_looked_at_if_that_is_wanted(timeless, capfd):
    lenient = replace(SMALL_CHUNKS, detection=replace(SMALL_CHUNKS.detection, max_corrupt=1.0))
    report = analyze(timeless, settings=lenient)
    assert report.frames == 110 and "frames could not be decoded" not in " ".join(report.notes)
    assert "DLASCL" not in "".join(capfd.readouterr())


def test_b_frames_in_avi_are_followed_in_order(media, talk, tmp_path):
    """AVI has no times of presentation, and the tracks say so; they are those of the same pictures in MP4."""
    with av.open(str(talk.video)) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    recipe = media.recipe(num_frames=110, size=(640, 360), options=media.x264(10, 2))
    tracks, notes = [], []
    for name in ("plain.mp4", "bare.avi"):
        report = analyze(media.write(tmp_path / name, recipe, pictures.__getitem__), settings=SMALL_CHUNKS)
        tracks.append(read_tracks(report.output).table.drop_columns(["pts"]))
        notes.append(report.notes)
    assert tracks[0].equals(tracks[1])
    assert notes == [(), ("the file holds no times of presentation: its frames are in the order of the decoder",)]


def test_an_output_that_is_the_input(talk, tmp_path):
    video = tmp_path / "v.mp4"
    shutil.copyfile(talk.video, video)
    before = video.read_bytes()
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="would replace its own input"):
            analyze(video, video, overwrite=overwrite)
    (tmp_path / "link.mp4").hardlink_to(video)
    with pytest.raises(OutputError, match="would replace its own input"):
        analyze(video, tmp_path / "link.mp4", overwrite=True)
    assert video.read_bytes() == before


def test_an_existing_output(talk, analysed, tmp_path):
    output = tmp_path / "out.parquet"
    output.write_text("mine")
    with pytest.raises(OutputExistsError, match="--overwrite"):
        analyze(talk.video, output, settings=SMALL_CHUNKS)
    assert output.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    analyze(talk.video, output, settings=SMALL_CHUNKS, overwrite=True)
    assert output.read_bytes() == analysed[1].read_bytes()


def test_a_folder_that_is_not_there(talk, tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        analyze(talk.video, tmp_path / "no" / "out.parquet")


def test_inputs_that_are_no_video(tmp_path):
    with pytest.raises(VideoNotFoundError, match=r"no\.mp4"):
        analyze(tmp_path / "no.mp4")
    (tmp_path / "text.mp4").write_text("not a video\n" * 100)
    with pytest.raises(VideoUnreadableError, match=r"text\.mp4"):
        analyze(tmp_path / "text.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["text.mp4"]


EMBEDDER = "dft.analyze.stage_one.open_embedder"


def never(*_args, **_kwargs):
    pytest.fail("this must not be opened")


def right_share(output: Path, talk) -> float:
    """Share of the visible faces that have the right name."""
    table = read_tracks(output).table.to_pylist()
    found = {(row["frame_index"], row["person"]): row for row in table if row["person"]}
    visible = [row for row in talk.truth if row.visible]
    right = 0
    for true in visible:
        row = found.get((true.frame_index, true.person))
        boxes = [np.array([[r[k] for k in ("x1", "y1", "x2", "y2")]]) for r in (row, vars(true)) if r]
        right += row is not None and bool(iou(*boxes)[0, 0] >= 0.4)
    return right / len(visible)


def test_faces_are_embedded_where_it_can_decide(analysed):
    report, output = analysed
    metadata = read_tracks(output).metadata
    assert 8 <= report.embedded < report.faces / 4
    assert report.reid_seconds > 0
    assert len(metadata.models) == 2 and "yunet" in metadata.models
    assert sum(track.embedded for track in metadata.tracks) <= report.embedded
    assert {track.person for track in metadata.tracks} == {"A", "B"}


def test_always_embeds_all(talk, tmp_path):
    report = analyze(talk.video, tmp_path / "out.parquet", settings=changed(reid="always"))
    assert report.embedded > 0.95 * report.faces
    assert right_share(tmp_path / "out.parquet", talk) >= 0.98


def changed(**values) -> AnalyzeSettings:
    return build(AnalyzeSettings, {"chunk_seconds": 0.8, "threads": 2, **values})


def test_without_reid_no_embedder_is_opened(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(EMBEDDER, never)
    report = analyze(talk.video, tmp_path / "out.parquet", settings=changed(reid="off"))
    assert report.embedded == 0 and report.reid_seconds == 0 and report.notes == ()
    assert list(read_tracks(tmp_path / "out.parquet").metadata.models) == ["yunet"]
    assert right_share(tmp_path / "out.parquet", talk) >= 0.98, "places alone tell these two apart"


def test_without_faces_no_embedder_is_opened(media, tmp_path, monkeypatch):
    monkeypatch.setattr(EMBEDDER, never)
    with pytest.raises(NoFaceError):
        analyze(without_faces(media, tmp_path / "v.mp4"))


def cannot_load(*_args):
    raise BackendUnavailableError("onnxruntime cannot be imported", hint="pip install it")


def fails_midway(*args):
    """An embedder whose third batch fails."""
    embedder, num = open_embedder(*args), 0
    embed = embedder.embed

    def failing(chips):
        nonlocal num
        num += 1
        if num > 2:
            raise EngineError("the embedder ran out of memory")
        return embed(chips)

    embedder.embed = failing
    return embedder


@pytest.mark.parametrize(
    ("broken", "note"),
    [
        (cannot_load, "faces could not be told apart, only places and motion: onnxruntime cannot be imported"),
        (
            fails_midway,
            "from some point on, faces could not be told apart, only places and motion: the embedder ran out of memory",
        ),
    ],
)
def test_without_a_working_embedder_places_decide_and_a_note_says_so(talk, tmp_path, monkeypatch, caplog, broken, note):
    monkeypatch.setattr(EMBEDDER, broken)
    output = tmp_path / "out.parquet"
    report = analyze(talk.video, output, settings=SMALL_CHUNKS)
    assert len(report.notes) == 1 and report.notes[0].startswith(note)
    assert read_tracks(output).metadata.notes == report.notes
    assert report.notes[0] in caplog.text
    assert caplog.text.count("no more faces are embedded") == 1, "said once, when it happens"
    assert report.persons == ("A", "B") and (report.embedded > 0) == (broken is fails_midway)
    assert right_share(output, talk) >= 0.98
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_model_that_is_not_there_is_noted_too(talk, tmp_path):
    report = analyze(talk.video, tmp_path / "out.parquet", settings=changed(embedder="nobody"))
    assert len(report.notes) == 1 and "there is no model nobody" in report.notes[0]
    assert report.persons == ("A", "B")


@pytest.fixture(scope="module")
def kept(talk, tmp_path_factory) -> Path:
    """A track file whose evidence was kept, and whose video is gone."""
    folder = tmp_path_factory.mktemp("kept")
    video = Path(shutil.copy(talk.video, folder / "talk.mp4"))
    output = analyze(video, settings=SMALL_CHUNKS, keep_evidence=True).output
    video.unlink()
    return output


@pytest.fixture
def blind(monkeypatch) -> None:
    """Nothing can be decoded, detected or embedded."""
    monkeypatch.setattr(pipeline, "open_decoder", never)
    for name in ("open_detector", "open_embedder"):
        monkeypatch.setattr(f"dft.analyze.stage_one.{name}", never)


@pytest.fixture
def copied(kept, tmp_path) -> Path:
    """The same, to be damaged."""
    shutil.copytree(kept.parent, tmp_path / "copied")
    return tmp_path / "copied" / kept.name


def test_evidence_is_kept_beside_the_track_file(kept, analysed):
    assert sorted(path.name for path in kept.parent.iterdir()) == ["talk.tracks.evidence", "talk.tracks.parquet"]
    names = sorted(path.name for path in evidence_folder(kept).iterdir())
    assert names == [*(f"chunk-0000{i}.npz" for i in range(6)), "key.json", "source.npz"]
    assert kept.read_bytes() == analysed[1].read_bytes(), "keeping it changes nothing"


def test_kept_evidence_is_replaced_with_its_track_file(kept, talk, tmp_path):
    for chunk_seconds in (0.8, 2.0):
        settings = changed(chunk_seconds=chunk_seconds)
        report = analyze(talk.video, tmp_path / "t.parquet", settings=settings, keep_evidence=True, overwrite=True)
        assert report.resumed_frames == 0
    chunks = sorted(path.name for path in evidence_folder(report.output).glob("chunk-*"))
    assert chunks == ["chunk-00000.npz", "chunk-00001.npz", "chunk-00002.npz"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.evidence", "t.parquet"]


def test_the_same_settings_decide_the_same(kept, tmp_path, blind):
    report = reidentify(kept, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == kept.read_bytes()
    assert report.output == tmp_path / "again.parquet"
    assert (report.frames, report.persons, report.shots, report.embedded > 8) == (110, ("A", "B"), 3, True)
    old, new = (read_tracks(path) for path in (kept, tmp_path / "again.parquet"))
    assert new.table.equals(old.table) and new.metadata == old.metadata


def test_in_place_only_when_told(copied, blind):
    before = copied.read_bytes()
    with pytest.raises(OutputExistsError, match="--overwrite"):
        reidentify(copied, changes={"people": 1})
    assert copied.read_bytes() == before
    reidentify(copied, changes={"people": 1}, overwrite=True)
    assert read_tracks(copied).metadata.persons == ("A",)
    reidentify(copied, changes={"people": 2}, overwrite=True)
    assert copied.read_bytes() == before, "and back"


def test_people_may_change(kept, tmp_path, blind):
    report = reidentify(kept, tmp_path / "one.parquet", changes={"people": 1})
    file = read_tracks(tmp_path / "one.parquet")
    assert report.persons == file.metadata.persons == ("A",) and file.metadata.settings["people"] == 1
    assert file.metadata.notes == (), "one was asked for"
    assert set(file.table["person"].to_pylist()) == {"A", None}
    assert file.metadata.settings["chunk_seconds"] == 0.8, "the others are as they were"


@pytest.mark.parametrize(("main", "left_edge"), [("0.27,0.42@0.5", 100), ("470,144@0:00:00.500", 420)])
def test_the_main_person_may_be_named(kept, tmp_path, blind, main, left_edge):
    reidentify(kept, tmp_path / "one.parquet", changes={"people": 1, "main": main})
    first = read_tracks(tmp_path / "one.parquet").table.filter(pc.field("frame_index") == 12).to_pylist()
    (row,) = [row for row in first if row["person"] == "A"]
    assert row["x1"] == pytest.approx(left_edge, abs=60)


def test_sides_may_change(kept, tmp_path, blind):
    """In the close-up B is right of the middle, in the two-shots they sit as they always did."""
    changes = {"assign": "position", "side_mean_seconds": 0.1, "side_hold_seconds": 0.0, "side_margin": 0.0}
    reidentify(kept, tmp_path / "p.parquet", changes=changes)
    old, new = (read_tracks(path) for path in (kept, tmp_path / "p.parquet"))
    assert new.metadata.settings["assign"] == "position" != old.metadata.settings["assign"]
    assert new.table.drop_columns("side").equals(old.table.drop_columns("side"))
    assert set(new.table["side"].to_pylist()) <= {"left", "right"}


def test_what_was_noted_is_noted_again(talk, tmp_path, monkeypatch):
    monkeypatch.setattr(EMBEDDER, cannot_load)
    first = analyze(talk.video, tmp_path / "t.parquet", settings=SMALL_CHUNKS, keep_evidence=True)
    assert first.notes and reidentify(first.output, tmp_path / "again.parquet").notes == first.notes


def errors_of_reidentify(copied: Path, tmp_path: Path, talk):
    folder = evidence_folder(copied)

    def other_video():
        chunks = talk.video.with_name("other.mp4")
        shutil.copyfile(talk.video, chunks)
        with chunks.open("ab") as file:
            file.write(b"\0" * 8)
        output = analyze(chunks, tmp_path / "other.parquet", settings=SMALL_CHUNKS, keep_evidence=True).output
        return {"evidence": evidence_folder(output)}

    def damage(name: str, content: bytes | None):
        def apply():
            if content is None:
                (folder / name).unlink()
            else:
                (folder / name).write_bytes(content)
            return {}

        return apply

    half = (folder / "chunk-00002.npz").read_bytes()[:2000]
    return {
        "no evidence": (lambda: shutil.rmtree(folder) or {}, EvidenceError, "there is no evidence in .*--evidence"),
        "no source": (damage("source.npz", None), EvidenceError, "there is no evidence"),
        "source": (damage("source.npz", b"no file"), EvidenceError, "is damaged.*--keep-evidence again"),
        "no chunk": (damage("chunk-00002.npz", None), EvidenceError, "is not complete; got no sound chunk 2"),
        "half a chunk": (damage("chunk-00002.npz", half), EvidenceError, "is not complete; got no sound chunk 2"),
        "other video": (other_video, EvidenceError, "is of another video"),
        "stage 1": (lambda: {"changes": {"detect_size": 320}}, SettingError, "detect_size.*run dft analyze again"),
        "reid": (lambda: {"changes": {"reid": "always"}}, SettingError, "reid was decided when the video was looked"),
        "range": (lambda: {"changes": {"people": 9}}, SettingError, "setting people cannot be 9"),
        "nobody there": (lambda: {"changes": {"main": "5,5@1"}}, SettingError, "nobody is at 5,5 at 00:00:01.000"),
        "unreadable main": (lambda: {"changes": {"main": "left"}}, SettingError, "setting main cannot be 'left'"),
        "too many": (lambda: {"changes": {"people": 1, "main": "9,9@1 8,8@2"}}, SettingError, "names too many"),
        "no tracks": (lambda: copied.unlink() or {}, TrackFileError, "there is no track file"),
    }


WRONG = (
    "no evidence, no source, source, no chunk, half a chunk, other video, stage 1, reid, range, nobody there, "
    "unreadable main, too many, no tracks"
)


@pytest.mark.parametrize("case", WRONG.split(", "))
def test_errors_of_reidentify_are_one_line_and_leave_nothing(copied, talk, tmp_path, case):
    prepare, kind, words = errors_of_reidentify(copied, tmp_path, talk)[case]
    arguments = prepare()
    output = tmp_path / "new.parquet"
    with pytest.raises(kind, match=words) as caught:
        reidentify(copied, output, **arguments)
    assert isinstance(caught.value, DftError) and "\n" not in str(caught.value)
    assert not output.exists()


def test_evidence_elsewhere(copied, tmp_path, blind):
    elsewhere = evidence_folder(copied).rename(tmp_path / "elsewhere")
    before = copied.read_bytes()
    reidentify(copied, tmp_path / "new.parquet", evidence=elsewhere)
    assert (tmp_path / "new.parquet").read_bytes() == before


def test_the_source_knows_what_it_was_made_of(kept):
    from dft.analyze.source import Source

    source, chunks = Source.load(evidence_folder(kept))
    metadata = read_tracks(kept).metadata
    assert source.sha256 == metadata.video.sha256 and (source.width, source.height) == (640, 360)
    assert [(c.first, c.end) for c in chunks] == [(20 * i, min(20 * i + 20, 110)) for i in range(6)]
    key = json.loads((evidence_folder(kept) / "key.json").read_text())
    assert key == source.evidence_key(SMALL_CHUNKS)
