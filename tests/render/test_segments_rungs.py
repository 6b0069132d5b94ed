"""Which encoder makes a video, and what happens when it refuses or fails: encoders of two kinds play the rungs."""

import json
import logging
from dataclasses import replace

import av
import pytest

from dft.configs.errors import BackendUnavailableError, EngineError, OutputError
from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings
from dft.engines.cpu.encode import PyAvEncoder
from dft.render import encoding, pipeline
from dft.render.pipeline import render

SIZE, N, SEGMENT = (320, 180), 100, 12.5
SETTINGS = RenderSettings(
    output=OutputSettings(size="128x96"), encode=EncodeSettings(preset="ultrafast", segment_seconds=0.5)
)
RUNGS = ("nvenc", "ffmpeg-nvenc", "cpu")


class Rungs:
    """Plays the encoders of a GPU: each writes a headline of its own, so that their pieces do not fit together.

    Attributes:
        refusing: Rungs that are refused when they are opened.
        failing: How many frames a rung still takes until it fails, by rung.
        opened: Rungs in the order in which encoders were opened.
        encoded: Frames that each rung has taken.
        unfinished: Rungs that fail when a segment is finished.
        held: Encoders that are not closed: a card has few.
    """

    def __init__(self):
        self.refusing, self.failing, self.opened = {"ffmpeg-nvenc"}, {}, []
        self.unfinished, self.held = set(), set()
        self.encoded = dict.fromkeys(RUNGS, 0)

    def open(self, path, options, device, rung):
        self.opened.append(rung)
        if rung in self.refusing:
            raise BackendUnavailableError("NVENC cannot be used", got=f"{rung} is busy", hint="wait")
        return Encoder(self, rung, path, options)


class Encoder(PyAvEncoder):
    def __init__(self, rungs, rung, path, options):
        super().__init__(path, options, ("libx264", {"preset": {"nvenc": "medium", "cpu": "ultrafast"}[rung]}))
        self._rungs, self._rung = rungs, rung
        rungs.held.add(self)

    def finish(self):
        if self._rung in self._rungs.unfinished:
            raise EngineError("NVENC failed", got="the last pictures are lost")
        super().finish()

    def close(self):
        self._rungs.held.discard(self)
        super().close()

    def write(self, image, pts):
        left = self._rungs.failing.get(self._rung)
        if left == 0:
            raise EngineError("NVENC failed", got="the session is gone")
        if left is not None:
            self._rungs.failing[self._rung] = left - 1
        self._rungs.encoded[self._rung] += 1
        super().write(image, pts)


@pytest.fixture
def rungs(monkeypatch):
    made = Rungs()
    monkeypatch.setattr(encoding, "open_encoder", made.open)
    monkeypatch.setattr(pipeline, "encoder_rungs", lambda device: RUNGS)
    yield made
    assert not made.held


@pytest.fixture
def video(two_people):
    return two_people(SIZE, N, ((70, 60, 102, 100), (210, 70, 242, 110)))


def decoded(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def stop(done, total):
    if done >= 60:
        raise KeyboardInterrupt


def recorder():
    seen = []
    return seen, lambda done, total: seen.append((done, total))


def test_the_best_encoder_makes_the_whole_video(rungs, video, tmp_path):
    rungs.refusing = set()
    report = render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    assert set(rungs.opened) == {"nvenc"} and decoded(report.output) == N
    assert report.quality[0].encoder == "nvenc" and not report.notes


def test_the_next_one_is_taken_and_it_is_said_why(rungs, video, tmp_path, caplog):
    rungs.refusing = {"nvenc", "ffmpeg-nvenc"}
    with caplog.at_level(logging.INFO):
        report = render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    assert rungs.opened[:3] == list(RUNGS) and set(rungs.opened[3:]) == {"cpu"}  # asked once for the video
    (note,) = report.notes
    assert note == (
        "encoded on cpu: not nvenc: NVENC cannot be used; got nvenc is busy; "
        "not ffmpeg-nvenc: NVENC cannot be used; got ffmpeg-nvenc is busy"
    )
    told = json.loads((tmp_path / "out.mp4.qc.json").read_text())
    assert (told["encoder"], told["notes"]) == ("cpu", [note])
    assert [record.message for record in caplog.records].count(note) == 1


def test_an_encoder_that_fails_midway_is_tried_again_where_it_failed(rungs, video, tmp_path, monkeypatch):
    """As long as that finishes any segment: what is done stays."""
    rungs.failing = {"nvenc": 60}
    real = rungs.open

    def open_and_mend(*arguments):
        if rungs.failing.get("nvenc") == 0:
            rungs.failing = {}
        return real(*arguments)

    seen, progress = recorder()
    monkeypatch.setattr(encoding, "open_encoder", open_and_mend)
    report = render(video, output=tmp_path / "out.mp4", settings=SETTINGS, progress=progress)
    assert set(rungs.opened) == {"nvenc"} and decoded(report.output) == N
    (recovery,) = report.recovered
    assert recovery.cause == "NVENC failed; got the session is gone" and report.notes == (recovery.note,)
    assert N < rungs.encoded["nvenc"] <= N + 2 * SEGMENT
    assert seen[-1] == (N, N) and max(done for done, _ in seen) == N


def test_if_it_fails_for_good_the_next_encodes_everything(rungs, video, tmp_path):
    rungs.failing = {"nvenc": 60}
    seen, progress = recorder()
    report = render(video, output=tmp_path / "out.mp4", settings=SETTINGS, progress=progress)
    assert rungs.encoded["cpu"] == N and decoded(report.output) == N and report.reused == 0
    assert report.notes == (
        "encoded on cpu: not nvenc: NVENC failed; got the session is gone; "
        "not ffmpeg-nvenc: NVENC cannot be used; got ffmpeg-nvenc is busy",
    )
    assert seen[-1] == (N, N) and max(done for done, _ in seen) == N
    assert not list(tmp_path.glob(".out.mp4.segments"))


def test_an_encoder_may_fail_at_the_end_of_a_segment(rungs, video, tmp_path):
    """While the next one is being encoded: that one is let go of as well."""
    rungs.unfinished = {"nvenc"}
    report = render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    assert rungs.encoded["cpu"] == N and decoded(report.output) == N
    assert "not nvenc: NVENC failed; got the last pictures are lost" in report.notes[0]


def test_a_rendering_goes_on_with_the_encoder_that_began_it(rungs, video, tmp_path):
    """Though a better one is free by now; a change of encoders would make everything anew."""
    output = tmp_path / "out.mp4"
    rungs.refusing = {"nvenc", "ffmpeg-nvenc"}
    with pytest.raises(KeyboardInterrupt):
        render(video, output=output, settings=SETTINGS, progress=stop)
    rungs.refusing, rungs.opened = set(), []
    report = render(video, output=output, settings=SETTINGS)
    assert report.reused >= 3 * SEGMENT and set(rungs.opened) == {"cpu"} and not report.notes
    rungs.opened = []
    again = render(video, output=output, settings=SETTINGS, overwrite=True)
    assert again.reused == N and not rungs.opened and again.quality[0].encoder == "cpu"
    fresh = replace(SETTINGS, encode=replace(SETTINGS.encode, reuse=False))
    assert render(video, output=output, settings=fresh, overwrite=True).quality[0].encoder == "nvenc"


def test_what_an_encoder_made_is_of_no_use_to_another(rungs, video, tmp_path):
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        render(video, output=output, settings=SETTINGS, progress=stop)
    assert list((tmp_path / ".out.mp4.segments").glob("*.json")) and set(rungs.opened) == {"nvenc"}
    rungs.refusing = {"nvenc", "ffmpeg-nvenc"}
    report = render(video, output=output, settings=SETTINGS)
    assert report.reused == 0 and report.quality[0].encoder == "cpu" and decoded(output) == N


def test_the_last_encoder_s_own_error_is_raised(rungs, video, tmp_path):
    rungs.refusing, rungs.failing = {"nvenc", "ffmpeg-nvenc"}, {"cpu": 30}
    with pytest.raises(EngineError, match=r"^NVENC failed; got the session is gone$") as caught:
        render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    assert type(caught.value) is EngineError and not (tmp_path / "out.mp4").exists()


def test_a_full_disk_is_no_reason_for_another_encoder(rungs, video, tmp_path, monkeypatch):
    def full(*_):
        raise OutputError("cannot write", got="no space left on device")

    monkeypatch.setattr(Encoder, "write", full)
    with pytest.raises(OutputError, match="no space"):
        render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    assert set(rungs.opened) == {"nvenc"}


def test_what_else_fails_is_no_reason_either(rungs, video, tmp_path, monkeypatch):
    def failing(*_):
        raise EngineError("a picture could not be made on the GPU")

    monkeypatch.setattr("dft.engines.cpu.compose.OpenCvCompositor.compose", failing)
    with pytest.raises(EngineError, match="could not be made"):
        render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    assert set(rungs.opened) == {"nvenc"}
