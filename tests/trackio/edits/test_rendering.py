"""A rendering takes the tracks with their edits, says so, and warns of what nobody has reviewed."""

import logging
from dataclasses import replace

import pytest

from dft.analyze.pipeline import analyze
from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings, ReviewSettings
from dft.render.camera.metrics import study
from dft.render.job import opened
from dft.render.pipeline import render
from dft.trackio.edits.log import log_path
from dft.trackio.edits.operations import Mark, SetSide, Swap
from dft.trackio.edits.session import Edits
from dft.trackio.files import read_tracks, write_tracks
from dft.trackio.metadata import Suspect

SETTINGS = RenderSettings(
    OutputSettings(size="256x144"), encode=EncodeSettings(preset="ultrafast", segment_seconds=0.5, device="cpu")
)


@pytest.fixture(scope="module")
def analyzed(talk, tmp_path_factory):
    return analyze(talk.video, tmp_path_factory.mktemp("edited") / "talk.tracks.parquet").output


@pytest.fixture
def tracks(analyzed, tmp_path):
    """Tracks with one doubtful moment."""
    file = read_tracks(analyzed)
    frames = file.table["pts"].to_pylist()
    doubt = Suspect("crossing", 0, 0, frames[0], frames[0], 0.75)
    path = tmp_path / "talk.tracks.parquet"
    write_tracks(path, file.table, replace(file.metadata, suspects=(doubt,)))
    return path


def test_a_job_has_the_edited_tracks_and_says_so(talk, tracks):
    edits = Edits(tracks)
    edits.do(Swap(0, 20))
    with opened(talk.video, tracks, SETTINGS) as job:
        assert job.track_file.table.equals(edits.current().table)
        assert f"1 edit is in the tracks, from {log_path(tracks)}" in job.notes


def test_open_moments_are_warned_of(talk, tracks, caplog):
    def warned(**settings):
        caplog.clear()
        with caplog.at_level(logging.WARNING), opened(talk.video, tracks, replace(SETTINGS, **settings)) as job:
            assert all(record.message in job.notes for record in caplog.records)
        return [record.message for record in caplog.records]

    assert warned() == ["1 moment is open to review with a probability over 0.5, at 00:00:00.000 (crossing)"]
    assert warned(review=ReviewSettings(0.8)) == []
    Edits(tracks).do(Mark("crossing", 0, 0, "accepted"))
    assert warned() == []


def test_only_what_an_edit_touches_is_encoded_again(talk, tracks, tmp_path):
    output = tmp_path / "talk.mp4"
    whole = render(talk.video, tracks, output, settings=SETTINGS)
    planned = study(talk.video, tracks, SETTINGS).report(compare=False)
    edits = Edits(tracks)
    shot = edits.base.metadata.shots[-1]
    edits.do(SetSide("A", "right", shot.first_frame, shot.last_frame))
    again = render(talk.video, tracks, output, settings=SETTINGS, overwrite=True)
    assert 0 < again.reused < whole.frames == again.frames
    assert study(talk.video, tracks, SETTINGS).report(compare=False) != planned
    edits.undo()
    assert "edit" not in str(render(talk.video, tracks, output, settings=SETTINGS, overwrite=True).notes)
