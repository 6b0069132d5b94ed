"""How many videos at once: never more than the machine has room for, never none, and the words say why."""

import json
import logging
import os
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.engines.cuda.gpus import VisibleGpu
from dft.engines.cuda.usage import Memory
from dft.engines.devices import DeviceChoice
from dft.render.batch import admission, pictures
from dft.render.batch.admission import MEMORY_MARGIN, Machine, admit, need
from dft.render.batch.crews import engine
from dft.render.batch.pictures import picture_sizes
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions
from dft.render.batch.work import Passes

from .conftest import fake_render

MANY = 1000


def gpu(free_gb=80.0, total_gb=80.0, engines=7):
    return VisibleGpu("0", engines, None if free_gb is None else Memory(free_gb * 1e9, total_gb * 1e9))


@pytest.mark.parametrize(
    ("machine", "wanted", "videos", "streams", "words"),
    [
        (Machine(1), None, MANY, 1, "1 core"),
        (Machine(9), None, MANY, 4, "9 cores"),
        (Machine(9), None, 3, 3, "3 videos; 9 cores (2 for each) would allow 4"),
        (Machine(2), 5, MANY, 5, "asked for; 2 cores (2 for each) would allow 1"),
        (Machine(16, (gpu(),)), None, MANY, 8, "7 decoders + 1; memory would allow 77, 16 cores 16"),
        (Machine(5, (gpu(),)), None, MANY, 5, "5 cores; 7 decoders + 1 would allow 8"),
        (Machine(16, (gpu(8, 8),)), None, MANY, 7, "memory; 7 decoders + 1 would allow 8"),
        (Machine(16, (gpu(None),)), None, MANY, 8, "7 decoders + 1; 16 cores would allow 16"),
        (Machine(32, (gpu(), gpu())), None, MANY, 16, "7 decoders + 1 on each of 2 GPUs; memory would allow 154"),
        (Machine(32, (gpu(), gpu(14))), None, MANY, 10, "decoders here, memory there; 7 decoders + 1 on each"),
        (Machine(16, (gpu(engines=1),)), None, MANY, 2, "1 decoder + 1;"),
        (Machine(16, (gpu(),), num_encoders=3), None, MANY, 8, "16 cores 16; the encoder has 3 sessions"),
    ],
)
def test_what_decides(machine, wanted, videos, streams, words):
    admission = admit(machine, wanted, videos)
    assert (admission.streams, len(admission.seats)) == (streams, streams)
    assert admission.as_text().startswith(f"{streams} stream") and words in admission.as_text()
    assert admission.warning is None


def test_too_little_memory_is_warned_of():
    for wanted, streams in ((None, 1), (4, 4)):
        admission = admit(Machine(16, (gpu(12),)), wanted, MANY)
        assert admission.streams == streams and "memory allows: 0, with 0.88 GB for each" in admission.warning
    assert admit(Machine(16, (gpu(8, 8),)), 7, MANY).warning is None
    assert "8 streams at once may be more" in admit(Machine(16, (gpu(8, 8),)), 8, MANY).warning
    assert admit(Machine(1), 40, MANY).warning is None


def test_a_stream_needs_what_was_measured_and_more_for_larger_pictures():
    assert need(1920 * 1080) == need(None) == pytest.approx(884e6, rel=0.01)
    assert 0.8e9 < need(320 * 180) < need(None) < need(3840 * 2160) < 1.3e9
    large = admit(Machine(16, (gpu(8, 8),)), None, MANY, 3840 * 2160)
    assert large.streams == 6


cards = st.builds(
    lambda total, share, engines: gpu(None if total is None else total * share, total or 0.0, engines),
    st.none() | st.floats(1, 200), st.floats(0, 1), st.integers(1, 8),
)  # fmt: skip
machines = st.builds(
    Machine, st.integers(1, 256), st.lists(cards, max_size=8).map(tuple), st.none() | st.integers(1, 9)
)


@given(machines, st.none() | st.integers(1, 256), st.integers(1, MANY), st.none() | st.integers(1, 10**8))
def test_never_none_and_never_too_many(machine, wanted, videos, pixels):
    admission = admit(machine, wanted, videos, pixels)
    own = [admission.seats.count(number) for number in range(max(1, len(machine.gpus)))]
    assert 1 <= admission.streams <= videos and sum(own) == len(admission.seats) == admission.streams
    assert admission.streams <= (wanted or MANY)
    taken = [num * need(pixels) for num in own]
    free = [gpu.memory and gpu.memory.free - MEMORY_MARGIN * gpu.memory.total for gpu in machine.gpus]
    fits = all(have is None or had <= max(have, 0) for had, have in zip(taken, free, strict=False))
    if wanted is None and admission.streams > 1:
        assert fits and all(num <= gpu.num_processes for num, gpu in zip(own, machine.gpus, strict=False))
    if admission.warning is None and wanted is None:
        assert fits
    assert admission.as_text().count("would allow") <= 1


@given(st.integers(1, 256), cards, st.integers(1, 8), st.integers(1, 64))
def test_equal_gpus_have_equal_shares(cores, card, num, wanted):
    seats = admit(Machine(cores, (card,) * num), wanted, MANY).seats
    own = [seats.count(number) for number in range(num)]
    assert max(own) - min(own) <= 1


@given(machines, st.integers(1, MANY), st.integers(1, 200))
def test_more_of_anything_is_never_worse(machine, videos, cores):
    few = admit(machine, None, videos).streams
    assert admit(Machine(machine.cores + cores, machine.gpus), None, videos).streams >= few
    assert admit(machine, None, videos + 1).streams >= few
    if machine.gpus:
        assert admit(Machine(machine.cores, (*machine.gpus, gpu())), None, videos).streams >= few


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine with two, as far as the batch knows: the passes run where they are."""
    monkeypatch.setattr(engine, "choose_device", lambda _: DeviceChoice("cuda", "there is a GPU"))
    monkeypatch.setattr(admission, "gpus", lambda _: (gpu(engines=1), gpu(engines=1)))
    monkeypatch.setattr(admission, "num_cores", lambda: 32)
    monkeypatch.setattr(engine, "why_lost", nothing_lost)
    names = ("1", "GPU-5a")
    monkeypatch.setattr(admission, "environments", lambda _: tuple({"CUDA_VISIBLE_DEVICES": name} for name in names))


def nothing_lost(_: DeviceChoice) -> None:
    """They are there, as far as the batch's processes know."""


def where_analyze(video: Path, output: Path, **more):
    """Notes in which process it is, and which GPU that has."""
    output.write_text(f"{os.getpid()} {os.environ['CUDA_VISIBLE_DEVICES']}")
    more["progress"](10, 10)
    return SimpleNamespace(frames=10, notes=(), recovered=(), resumed_frames=0)


def test_a_batch_is_spread_over_the_gpus(files, tmp_path, two_gpus, caplog):
    caplog.set_level(logging.INFO)
    folder, out = files(**{f"v{number:02}": "x" * number for number in range(1, 13)}), tmp_path / "out"
    report = batch([folder], out, options=BatchOptions(("analyze",)), passes=Passes(where_analyze, fake_render))
    assert report.num("done") == 12 and report.streams == 4
    assert "4 streams: 1 decoder + 1 on each of 2 GPUs; memory would allow 154" in caplog.text
    places = dict(path.read_text().split() for path in out.glob("*.parquet"))
    assert len(places) == 4 and sorted(places.values()) == ["1", "1", "GPU-5a", "GPU-5a"]
    assert "in process 0, CUDA_VISIBLE_DEVICES=1" in caplog.text
    document = json.loads((out / "batch.json").read_text())
    assert document["why"] == report.why and "1 decoder + 1 on each of 2 GPUs" in (out / "batch.html").read_text()


def test_few_videos_are_spread_too(files, tmp_path, two_gpus):
    folder, out = files(a="one", b="two"), tmp_path / "out"
    batch([folder], out, options=BatchOptions(("analyze",)), passes=Passes(where_analyze, fake_render))
    assert sorted(path.read_text().split()[1] for path in out.glob("*.parquet")) == ["1", "GPU-5a"]


def test_a_worker_goes_on_with_pictures_of_one_size(files, tmp_path, two_gpus, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    folder, sizes = files(a="xxxx", b="xxx", c="xx", d="x"), {"a": (16, 9), "b": (9, 16), "c": (16, 9), "d": (9, 16)}
    monkeypatch.setattr(engine, "picture_sizes", lambda videos: {video: sizes[video.stem] for video in videos})
    options = BatchOptions(("analyze",), streams=1)
    report = batch([folder], tmp_path / "out", options=options, passes=Passes(where_analyze, fake_render))
    begun = [record.message[0] for record in caplog.records if "analyze in process" in record.message]
    assert begun == ["a", "c", "b", "d"] and report.why.startswith("asked for; 1 decoder + 1 on each of 2 GPUs")


def test_sizes_of_pictures(media, tmp_path):
    (tmp_path / "words.mp4").write_text("this is not a video")
    videos = [media("rotated"), tmp_path / "words.mp4", tmp_path / "none.mp4", media("closed gop")]
    assert picture_sizes(videos) == dict.fromkeys((videos[0], videos[3]), (96, 64))


@contextmanager
def deadly(_: None):
    """Does as a file's name says."""

    def work(path: Path | None, tell):
        match path and path.name:
            case None:
                return
            case "dies":
                os._exit(3)
            case "hangs":
                time.sleep(600)
        tell((len(path.name), 2))

    yield work


def test_a_file_that_kills_or_hangs_is_left_out(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_SECONDS", 600.0)  # this machine may be busy
    monkeypatch.setattr(pictures, "PATIENCE_SECONDS", 2.0)
    videos = list(map(Path, ["a", "dies", "bb", "hangs", "ccc"]))
    assert picture_sizes(videos, deadly) == {videos[0]: (1, 2), videos[2]: (2, 2), videos[4]: (3, 2)}
    monkeypatch.setattr(pictures, "MOST_SECONDS", 0.0)
    assert picture_sizes(videos, deadly) == {}
    monkeypatch.setattr(pictures, "MOST_SECONDS", 60.0)
    monkeypatch.setattr(pictures, "MAX_LOST", 1)
    assert picture_sizes([Path("dies"), Path("a")], deadly) == {}
