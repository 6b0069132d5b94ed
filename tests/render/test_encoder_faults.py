"""A GPU's encoder whose sessions are all at work, or that fails: a stand-in plays a card with few of them."""

from dataclasses import replace

import av
import pytest

from dft.configs.errors import BackendUnavailableError, EncoderBusyError, EngineError, MemoryFullError
from dft.configs.recovery import Recovery
from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings
from dft.engines.cpu.compose import OpenCvCompositor
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cpu.encode import PyAvEncoder
from dft.engines.devices import DeviceChoice
from dft.render import encoding, job, pipeline
from dft.render.pipeline import render

SIZE, N = (160, 90), 50
BUSY = "all sessions of NVENC are at work; got error 10"


def settings(device="cpu", **values):
    return RenderSettings(
        output=OutputSettings(size="128x96"),
        encode=EncodeSettings(preset="ultrafast", segment_seconds=0.5, device=device, **values),
    )


class Card:
    """A card with encoder sessions; the last rung is the CPU, which needs none.

    Attributes:
        free: Sessions that nobody has.
        opened: Rungs in the order in which encoders were opened.
        polls: How often somebody has waited.
        free_after: A session comes free after so many times.
        broken: What it says instead of opening a session.
        fails_at: Frames after which a session is lost, once.
    """

    def __init__(self):
        self.free, self.opened, self.polls, self.free_after = 1, [], 0, None
        self.broken, self.fails_at = None, None

    def open(self, path, options, device, rung):
        if rung == "nvenc":
            if self.broken is not None:
                raise self.broken
            if self.free == 0:
                raise EncoderBusyError("all sessions of NVENC are at work", got="error 10", hint="wait")
            self.free -= 1
        self.opened.append(rung)
        return Session(self if rung == "nvenc" else None, path, options)

    def sleep(self, seconds):
        self.polls += 1
        if self.polls == self.free_after:
            self.free += 1


class Session(PyAvEncoder):
    def __init__(self, card, path, options):
        super().__init__(path, options)
        self._card = card

    def write(self, image, pts):
        if self._card is not None and self._card.fails_at is not None:
            self._card.fails_at -= 1
            if self._card.fails_at < 0:
                self._card.fails_at = None
                raise EngineError("NVENC failed", got="the session is gone")
        super().write(image, pts)

    def close(self):
        card, self._card = self._card, None
        if card is not None:
            card.free += 1
        super().close()


@pytest.fixture
def card(monkeypatch):
    made = Card()
    monkeypatch.setattr(encoding, "open_encoder", made.open)
    monkeypatch.setattr(encoding.time, "sleep", made.sleep)
    monkeypatch.setattr(pipeline, "encoder_rungs", lambda device: ("nvenc", "cpu"))
    return made


@pytest.fixture
def video(two_people):
    return two_people(SIZE, N, ((35, 30, 51, 50), (105, 35, 121, 55)))


def rendered(video, tmp_path, **values):
    seen = []
    report = render(
        video, output=tmp_path / "out.mp4", settings=settings(**values), progress=lambda *step: seen.append(step)
    )
    with av.open(str(report.output)) as container:
        assert sum(1 for _ in container.decode(video=0)) == N
    return report, seen


def test_one_session_is_enough_for_all_segments(card, video, tmp_path):
    """Though the next segment's encoder is wanted while the last one's is still being finished."""
    report, _ = rendered(video, tmp_path)
    assert set(card.opened) == {"nvenc"} and len(card.opened) == 4 and (card.free, card.polls) == (1, 0)
    assert report.recovered == () and report.notes == ()


def test_used_up_sessions_leave_the_work_to_the_cpu(card, video, tmp_path):
    card.free = 0
    report, _ = rendered(video, tmp_path)
    assert set(card.opened) == {"cpu"} and card.polls == 0
    assert report.recovered == (Recovery(BUSY, "encoded on cpu"),)
    assert report.notes == (f"encoded on cpu: not nvenc: {BUSY}",) == report.quality[0].notes


def test_or_they_are_waited_for(card, video, tmp_path):
    card.free, card.free_after = 0, 7
    report, seen = rendered(video, tmp_path, encoder_busy="wait")
    assert set(card.opened) == {"nvenc"} and card.polls == 7
    cause, answer = "all sessions of the GPU's encoder were at work", "waited 3.5 s for one"
    assert report.recovered == (Recovery(cause, answer),) and report.notes == (f"{cause}: {answer}",)
    assert seen[:8] == [(0, N)] * 7 + [(1, N)], "whoever watches hears that it goes on"


def test_they_are_not_waited_for_without_end(card, video, tmp_path, monkeypatch):
    now = iter(range(10**6))
    monkeypatch.setattr(encoding.time, "monotonic", lambda: float(next(now)))
    monkeypatch.setattr(pipeline, "WAIT_SECONDS", 30.0)
    card.free = 0
    report, _ = rendered(video, tmp_path, encoder_busy="wait")
    assert 20 < card.polls < 31 and set(card.opened) == {"cpu"}
    assert Recovery(BUSY, "encoded on cpu") in report.recovered and len(report.recovered) == 2


def test_what_is_not_there_is_not_waited_for_and_no_fault(card, video, tmp_path):
    card.broken = BackendUnavailableError("NVENC cannot be used", got="returned error 2")
    report, _ = rendered(video, tmp_path, encoder_busy="wait")
    assert card.polls == 0 and set(card.opened) == {"cpu"} and report.recovered == ()
    assert report.notes == ("encoded on cpu: not nvenc: NVENC cannot be used; got returned error 2",)


def test_a_session_that_is_lost_midway_is_a_fault_that_was_answered(card, video, tmp_path):
    card.fails_at = 30
    report, _ = rendered(video, tmp_path)
    assert set(card.opened) == {"nvenc"}
    answer = "tried nvenc once more after the last finished segment"
    assert report.recovered == (Recovery("NVENC failed; got the session is gone", answer),)
    assert report.notes == (report.recovered[0].note,)
    assert card.free == 1


@pytest.fixture
def full_gpu(monkeypatch):
    """A GPU, so to speak, whose memory is full after so many canvases."""

    class Compositor(OpenCvCompositor):
        num_left = 30

        def compose(self, image, tiles):
            self.num_left -= 1
            if self.num_left < 0:
                raise MemoryFullError("no memory for a picture of 128x96 on the GPU", got="out of memory")
            return super().compose(image, tiles)

    real = pipeline.open_compositor
    chosen = {"auto": DeviceChoice("cuda", "there is a GPU"), "cuda": DeviceChoice("cuda", "asked for")}
    for module in (pipeline, job):
        monkeypatch.setattr(module, "choose_device", lambda name: chosen.get(name, DeviceChoice("cpu", "asked for")))
    monkeypatch.setattr(job, "open_decoder", lambda path, device, *more: PyAvDecoder(path, *more))
    monkeypatch.setattr(pipeline, "encoder_rungs", lambda device: ("cpu",))
    monkeypatch.setattr(encoding, "open_encoder", lambda path, options, *_: PyAvEncoder(path, options))
    monkeypatch.setattr(
        pipeline, "open_compositor",
        lambda device, canvas: Compositor(canvas) if device.kind == "cuda" else real(device, canvas),
    )  # fmt: skip


def test_a_gpu_that_is_full_leaves_the_rendering_to_the_cpu(full_gpu, video, tmp_path):
    report, _ = rendered(video, tmp_path, device="auto")
    cause, answer = "no memory for a picture of 128x96 on the GPU: out of memory", "rendered on the CPU"
    assert report.recovered == (Recovery(cause, answer),) and report.notes == (f"{cause}: {answer}",)
    assert report.reused == 25, "what the GPU has finished is not made again"


def test_but_not_where_it_was_asked_for(full_gpu, video, tmp_path):
    with pytest.raises(MemoryFullError, match="no memory for a picture"):
        rendered(video, tmp_path, device="cuda")
    assert not (tmp_path / "out.mp4").exists()


def test_outputs_that_were_finished_on_the_gpu_are_not_in_the_way(full_gpu, video, tmp_path):
    chosen = replace(settings(device="auto"), output=OutputSettings(layout="separate", size="128x96"))
    report = render(video, output=tmp_path / "out.mp4", settings=chosen)
    assert [path.exists() for path in report.outputs] == [True, True] and len(report.recovered) == 1
