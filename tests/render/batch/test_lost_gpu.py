"""A batch on two GPUs, one of which is lost: for each its processes ask whether it is there, by a stand-in."""

import json
import logging
import os
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from dft.configs.errors import CorruptVideoError, EngineError
from dft.engines import devices
from dft.engines.cuda.gpus import VisibleGpu
from dft.engines.devices import DeviceChoice, why_lost
from dft.render.batch import admission, plan
from dft.render.batch.crews import engine, local
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values
from dft.render.batch.work import Passes

CUDA = DeviceChoice("cuda", "there is a GPU")
WRONG = []


def ask(folder: Path, device: DeviceChoice) -> str | None:
    """A GPU is lost, or mute, if a file says so; and none answers a process in which something went wrong."""
    own = os.environ["CUDA_VISIBLE_DEVICES"]
    if (folder / f"mute-{own}").exists():
        time.sleep(600)
    if (folder / f"lost-{own}").exists():
        return f"CUDA_ERROR_NO_DEVICE: GPU {own} has fallen off the bus"
    return "cudaErrorIllegalAddress" if WRONG else None


def analyze(folder: Path, video: Path, output: Path, **more):
    """Notes where it is; before that, does what the video says."""
    own = os.environ["CUDA_VISIBLE_DEVICES"]
    more["progress"](1, 10)
    match video.read_text().split()[0]:
        case "loses-late" if own:
            time.sleep(3)
            (folder / f"lost-{own}").touch()
            raise EngineError("face detection failed", got="cudaErrorDeviceUnavailable")
        case "loses-one" if not any(folder.glob("lost-*")):
            (folder / f"lost-{own}").touch()
            raise EngineError("face detection failed", got="cudaErrorDeviceUnavailable")
        case "loses-all" if own:
            (folder / f"lost-{own}").touch()
            raise EngineError("face detection failed", got="cudaErrorDeviceUnavailable")
        case "slips" if not (folder / "slipped").exists():
            (folder / "slipped").touch()
            WRONG.append(video)
            raise RuntimeError("an illegal memory access was encountered")
        case "damaged":
            raise CorruptVideoError(f"{video} is damaged")
    more["progress"](10, 10)
    output.write_text(f"on {own}")
    return SimpleNamespace(frames=10, notes=(), recovered=(), resumed_frames=0)


@pytest.fixture
def run(files, tmp_path, monkeypatch, caplog):
    """A batch on GPUs 0 and 1, with one stream each."""
    caplog.set_level(logging.INFO)
    state = tmp_path / "gpus"
    state.mkdir()
    for module in (engine, plan):
        monkeypatch.setattr(module, "choose_device", lambda _: CUDA)
    monkeypatch.setattr(engine, "why_lost", partial(ask, state))
    monkeypatch.setattr(admission, "num_cores", lambda: 8)

    def go(device="auto", lost=(), mute=(), stall_seconds=300.0, streams=2, names=("0", "1"), **contents):
        environments = tuple({"CUDA_VISIBLE_DEVICES": name} for name in names)
        monkeypatch.setattr(admission, "gpus", lambda _: tuple(VisibleGpu(name, 1, None) for name in names))
        monkeypatch.setattr(admission, "environments", lambda _: environments)
        for name in (*(f"lost-{one}" for one in lost), *(f"mute-{one}" for one in mute)):
            (state / name).touch()
        folder, out = files(**contents), tmp_path / "out"
        options = BatchOptions(("analyze",), streams=streams, stall_seconds=stall_seconds)
        return batch(
            [folder],
            out,
            values=Values({"device": device}, {}),
            options=options,
            passes=Passes(partial(analyze, state), analyze),
        )

    go.places = lambda: {path.name[0]: path.read_text() for path in (tmp_path / "out").glob("*.parquet")}
    go.document = lambda: json.loads((tmp_path / "out/batch.json").read_text())
    return go


def faults_of(report, name):
    (video,) = (video for video in report.videos if video.name == name)
    return [fault.words for fault in video.faults]


def test_one_that_is_not_there_is_left_alone(run, caplog):
    report = run(lost=["0"], **dict.fromkeys("abcdef", "good"))
    assert report.num("done") == 6 and run.places() == dict.fromkeys("abcdef", "on 1")
    told = [fault for name in "abcdef" for fault in faults_of(report, name)]
    assert len(told) == 1 and "the GPU does not answer; got CUDA_ERROR_NO_DEVICE: GPU 0 has fallen off" in told[0]
    assert "begun again in a new process, from what was finished" in told[0]
    assert caplog.text.count("no more is given to it, CUDA_VISIBLE_DEVICES=0") == 1


def test_one_that_says_nothing_is_left_alone_too(run, monkeypatch):
    monkeypatch.setattr(local, "OPEN_SECONDS", 4.0)
    report = run(mute=["1"], stall_seconds=4.0, **dict.fromkeys("abcd", "good"))
    assert report.num("done") == 4 and run.places() == dict.fromkeys("abcd", "on 0")
    (told,) = (fault for name in "abcd" for fault in faults_of(report, name))
    assert told.startswith("analyze, hung: its process made no progress for 4 s; begun again")


def test_one_that_is_lost_midway_costs_no_video(run, tmp_path):
    report = run(a="good", b="loses-one", c="good", d="good", e="damaged")
    (lost,) = (path.name.removeprefix("lost-") for path in (tmp_path / "gpus").iterdir())
    assert (report.num("done"), report.num("failed"), report.verdict) == (4, 1, "degraded")
    (told,) = faults_of(report, "b")
    assert f"got CUDA_ERROR_NO_DEVICE: GPU {lost} has fallen off the bus" in told
    assert run.places().keys() == set("abcd") and run.places()["b"] != f"on {lost}"
    assert faults_of(report, "e")[-1].startswith("analyze, error: ") and "is damaged" in faults_of(report, "e")[-1]


def test_the_others_of_a_lost_one_get_nothing_more(run):
    """The second process on the same GPU has nothing to do by then."""
    report = run(names=["0"], a="loses-late", b="good")
    assert report.num("done") == 2 and run.places() == {"a": "on ", "b": "on 0"}
    assert len(faults_of(report, "a")) == 1


def test_a_video_whose_gpus_are_lost_one_after_another_is_done_by_the_cpu(run):
    report = run(names="012", streams=1, a="loses-all")
    assert report.num("done") == 1 and run.places() == {"a": "on "}
    assert len(faults_of(report, "a")) == 3 and "tries" not in str(faults_of(report, "a"))


def test_one_that_was_not_needed_comes_before_the_cpu(run):
    report = run(streams=1, lost=["0"], a="good", b="good")
    assert report.num("done") == 2 and run.places() == {"a": "on 1", "b": "on 1"}


def test_where_only_the_process_is_spoilt_the_gpu_goes_on(run, caplog):
    report = run(a="slips", b="good", c="good", d="good")
    assert report.num("done") == 4 and "no more is given" not in caplog.text
    (told,) = faults_of(report, "a")
    assert "illegal memory access" in told and "begun again in a new process" in told


def test_without_any_the_cpu_goes_on_if_it_may(run, caplog):
    report = run(a="loses-all", b="good", c="loses-all", d="good", e="good")
    assert report.num("done") == 5, report.as_text()
    assert [run.places()[name] for name in "ac"] == ["on ", "on "]
    assert "no GPU is left: the CPU goes on, with 2 videos at once" in caplog.text


def test_without_any_a_batch_that_wants_one_ends_and_goes_on_later(run, tmp_path):
    contents = dict.fromkeys("abcd", "good")
    with pytest.raises(EngineError, match=r"no GPU is left; got the GPU does not answer.*the same command goes on"):
        run(device="cuda", lost=["0", "1"], **contents)
    document = run.document()
    assert (document["verdict"], document["left"], document["failed"]) == ("interrupted", 4, 0)
    (tmp_path / "gpus/lost-1").unlink()
    assert run(device="cuda", **contents).num("done") == 4
    assert run.places() == dict.fromkeys("abcd", "on 1")


def test_whether_it_is_lost_is_asked_of_cuda(monkeypatch):
    assert why_lost(DeviceChoice("cpu", "asked for")) is None
    monkeypatch.setattr(devices, "why_no_cuda", lambda: "the NVIDIA driver sees no GPU")
    assert why_lost(CUDA) == "the NVIDIA driver sees no GPU"
    monkeypatch.setattr(devices, "why_no_cuda", lambda: None)
    for said, reason in (
        ("cudaErrorDeviceUnavailable:\nbusy", "cudaErrorDeviceUnavailable: busy"),
        ("cudaErrorMemoryAllocation: out of memory", None),
        (None, None),
    ):
        monkeypatch.setattr(devices, "finish", partial(answer, said))
        assert why_lost(CUDA) == reason


def answer(said, _):
    if said is not None:
        raise RuntimeError(said)
