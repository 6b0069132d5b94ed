"""Pass one over real media with known truth, killed and resumed, and on bad input."""

import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

from dft.analyze import pipeline
from dft.analyze.boxes import iou
from dft.analyze.pipeline import analyze
from dft.configs.analysis import AnalyzeSettings
from dft.configs.errors import (
    CorruptVideoError,
    NoFaceError,
    OutputError,
    OutputExistsError,
    VideoNotFoundError,
    VideoUnreadableError,
)
from dft.configs.settings import build
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

    def recording(*args):
        decoder = real(*args)
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

    def damaged(*args):
        decoder = real(*args)
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
