"""Every fault through a batch: what it does, and what its report says: video, stage, cause and answer."""

import html
import json
import os
import re
import shutil
import threading
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from dft.configs.errors import VideoUnreadableError
from dft.render.batch import admission, stalls
from dft.render.batch.entry import Entry
from dft.render.batch.faults import Fault, fault_of, is_degraded, is_hopeless
from dft.render.batch.inputs import find_inputs
from dft.render.batch.pipeline import batch
from dft.render.batch.plan import BatchOptions, Values, make_jobs, sharing_bitrate
from dft.render.batch.reporting.live import Silent
from dft.render.batch.schedule import Schedule
from dft.render.batch.state import BatchState, fingerprints
from dft.render.batch.work import Made, Passes

from . import faulty
from .conftest import fake_analyze, fake_render

NUM, SIZE = 50, (320, 180)
FAST = Values({"chunk_seconds": 0.5}, {"size": "128x96", "preset": "ultrafast", "segment_seconds": 0.8})
GOOD = ("memory", "embedder", "decoder", "scratched", "busy", "lossy", "whole")
BAD = ("full", "disk", "ruined")


def old(path: Path) -> Path:
    os.utime(path, (time.time() - 86400,) * 2)
    return path


@pytest.fixture(scope="module")
def folder(talk, media, tmp_path_factory):
    """Two people for two seconds, a video a fault; two of them with damaged packets."""
    folder = tmp_path_factory.mktemp("faults") / "in"
    folder.mkdir()
    with av.open(str(talk.video)) as source:
        frames = islice(source.decode(video=0), NUM)
        pictures = [frame.reformat(*SIZE, format="rgb24").to_ndarray() for frame in frames]
    recipe = media.recipe(num_frames=NUM, size=SIZE, options=media.x264(10, 2), audio=True)
    whole = media.write(folder / "whole.mp4", recipe, pictures.__getitem__)
    for name in {*GOOD, *BAD} - {"whole"}:
        shutil.copy(whole, folder / f"{name}.mp4")
    for name, damaged in (("scratched", (23,)), ("ruined", range(10, 40))):
        spoil(folder / f"{name}.mp4", damaged)
    for path in folder.iterdir():
        old(path)
    return folder


def spoil(path, frames):
    """Overwrite the packets of these frames, in the order of decoding, but for their lengths."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content, noise = bytearray(path.read_bytes()), np.random.default_rng(1)
    for number in frames:
        start, size = packets[number]
        content[start + 4 : start + size] = noise.integers(0, 256, size - 4, np.uint8).tobytes()
    path.write_bytes(content)


@pytest.fixture(scope="module")
def disturbed(folder, tmp_path_factory):
    """The report of a batch in which everything goes wrong, and its folder."""
    output = tmp_path_factory.mktemp("disturbed") / "out"
    options = BatchOptions(streams=2, keep_going=True)
    report = batch([folder], output, values=FAST, options=options, passes=Passes(faulty.analyze, faulty.render))
    return report, output


FAULTS = [
    ("memory", "analyze", "recovered", "Unable to allocate 2.62 MiB", "went on from frame 0, batches of 2 for 4"),
    ("embedder", "analyze", "recovered", "face embedding failed; got a cosmic ray", "by places and motion alone"),
    ("decoder", "analyze", "recovered", "nvdec gave up at frame 30: error 700", "by rung cpu up to frame 40"),
    ("decoder", "render", "recovered", "nvdec gave up at frame 30: error 700", "by rung cpu up to frame 40"),
    ("scratched", "analyze", "recovered", "frames could not be decoded", "left out, and counted"),
    ("scratched", "render", "recovered", "are damaged and were left out", "the others keep their times"),
    ("busy", "render", "recovered", "all sessions of NVENC are at work; got error 10", "encoded on cpu"),
    ("lossy", "render", "recovered", "NVENC failed; got the session is gone", "encoded on cpu"),
    ("full", "analyze", "error", "memory is full, and was so again after 3 tries", "not affected"),
    ("disk", "analyze", "error", "the disk is full; free some space", "not affected"),
    ("ruined", "analyze", "error", "cannot be decoded, the last of them after", "not affected"),
]


@pytest.mark.parametrize(("name", "stage", "kind", "cause", "answer"), FAULTS)
def test_each_fault_is_told_with_video_stage_cause_and_answer(disturbed, name, stage, kind, cause, answer):
    report, output = disturbed
    document = json.loads((output / "batch.json").read_text())
    (video,) = (video for video in document["videos"] if video["name"] == name)
    (fault,) = (fault for fault in video["faults"] if fault["stage"] == stage and cause in fault["cause"])
    assert fault["kind"] == kind and answer in fault["answer"]
    assert video["outcome"] == ("done" if kind == "recovered" else "failed")
    words = f"{stage}, {kind}: {fault['cause']}; {fault['answer']}"
    assert f"{name}: {words}" in report.as_text().splitlines()
    section = (output / "batch.html").read_text().split(f"<h2>{name}: ")[1].split("</section>")[0]
    assert f"<li>{html.escape(words)}</li>" in section
    assert not any(fault["cause"] in note for note in video["notes"]), "once is enough"


def test_what_was_answered_counts_as_recovered(disturbed):
    report, output = disturbed
    outcomes = {video.name: video.outcome for video in report.videos}
    assert outcomes == {**dict.fromkeys(GOOD, "done"), **dict.fromkeys(BAD, "failed")}
    assert (report.failure_rate, report.recovery_rate) == (0.3, round(6 / 9, 4))
    assert report.verdict == "degraded" and "DEGRADED: 30% failed" in report.as_text()
    page = (output / "batch.html").read_text()
    assert "DEGRADED" in page and "failure rate 30%, recovery rate 67%" in page
    (whole,) = (video for video in report.videos if video.name == "whole")
    assert whole.faults == ()


def test_what_was_answered_is_as_good_as_what_was_not_disturbed(disturbed):
    from dft.trackio.files import read_tracks

    _, output = disturbed
    tracks = {name: read_tracks(output / f"{name}.tracks.parquet") for name in GOOD}
    for name in ("memory", "decoder"):
        assert tracks[name].table.equals(tracks["whole"].table)
        assert tracks[name].metadata.notes and not tracks["whole"].metadata.notes
    for name in GOOD:
        lost = sum("left out" in note for note in tracks[name].metadata.notes)
        with av.open(str(output / f"{name}.dft.mp4")) as container:
            num_frames = sum(1 for _ in container.decode(video=0))
        assert num_frames == NUM if name != "scratched" else NUM - 10 < num_frames < NUM
        assert not lost


def test_none_of_those_that_failed_leaves_a_result(disturbed):
    _, output = disturbed
    for name in BAD:
        assert not (output / f"{name}.tracks.parquet").exists() and not (output / f"{name}.dft.mp4").exists()


# What no pass can answer by itself.


def run(given, output, passes, **options):
    return batch([given], output, options=BatchOptions(**{"streams": 1, **options}), passes=passes)


def blocked_analyze(video, output, **more):
    """Reads a pipe into which nobody writes."""
    if video.stem == "blocked":
        video.with_suffix(".pipe").open("rb").read()
    return fake_analyze(video, output, **more)


def test_input_that_never_comes_is_given_up_after_two_time_outs(files, tmp_path):
    folder = files(blocked="good", fine="good")
    os.mkfifo(folder / "blocked.pipe")
    report = run(folder, tmp_path / "out", Passes(blocked_analyze, fake_render), stall_seconds=2.5, keep_going=True)
    by_name = {video.name: video for video in report.videos}
    assert by_name["fine"].outcome == "done" and by_name["blocked"].outcome == "failed"
    first, second = by_name["blocked"].faults
    assert (first.kind, first.stage, first.cause) == ("hung", "analyze", "its process made no progress for 2.5 s")
    assert first.answer == "begun again in a new process, from what was finished"
    assert second.answer.startswith("given up after 2 tries")
    for fault in (first, second):
        assert f"blocked: {fault.words}" in report.as_text()
        assert html.escape(fault.words) in (tmp_path / "out" / "batch.html").read_text()


def test_a_drive_that_is_gone_does_not_hold_up_the_batch(files, tmp_path, monkeypatch):
    """The batch itself reads a little of each video: here a pipe without a writer stands where the second one was."""
    monkeypatch.setattr(stalls, "ANSWER_SECONDS", 0.5)
    folder = files(a="good, and the largest", b="good")

    report = run(folder, tmp_path / "out", Passes(takes_the_drive_away, fake_render), keep_going=True)
    threading.Thread(target=lambda: (folder / "b.mp4").open("wb").close()).start()  # so that its reader can end
    outcomes = {video.name: video.outcome for video in report.videos}
    assert outcomes == {"a": "done", "b": "failed"}
    (fault,) = report.videos[1].faults
    assert "b.mp4 does not answer; got nothing within 0.5 s; is its drive there?" in fault.cause


def takes_the_drive_away(video, output, **more):
    other = video.with_name("b.mp4")
    if video.stem == "a":
        other.unlink()
        os.mkfifo(other)
    return fake_analyze(video, output, **more)


@pytest.mark.parametrize("given", ["list.csv", "b.mp4", "in"])
def test_a_drive_that_is_gone_before_is_told_before_any_work(files, tmp_path, monkeypatch, given):
    folder, answers, stat = files(a="good", b="good"), threading.Event(), Path.stat
    (folder / "list.csv").write_text("video\na.mp4\nb.mp4\n")
    gone = folder if given == "in" else folder / "b.mp4"

    def held_up(path, **more):
        if path == gone:
            answers.wait()
        return stat(path, **more)

    monkeypatch.setattr(stalls, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(Path, "stat", held_up)
    try:
        with pytest.raises(
            VideoUnreadableError, match=rf"{gone.name} does not answer; got nothing within 0\.2 s; is its"
        ):
            run(folder if given == "in" else folder / given, tmp_path / "out", Passes(fake_analyze, fake_render))
    finally:
        answers.set()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["manifest", "file"])
def test_a_pipe_is_told_before_any_work(tmp_path, kind):
    os.mkfifo(tmp_path / "live.mp4")
    (tmp_path / "list.csv").write_text("video\nlive.mp4\n")
    given = tmp_path / ("list.csv" if kind == "manifest" else "live.mp4")
    with pytest.raises(VideoUnreadableError, match=r"live\.mp4 is no file; got a pipe or device; expected a video"):
        run(given, tmp_path / "out", Passes(fake_analyze, fake_render))
    assert not (tmp_path / "out").exists()


def test_a_pipe_in_a_folder_is_counted_as_no_video(files):
    folder = files(a="good")
    os.mkfifo(folder / "live.mp4")
    found = find_inputs([folder], folder.parent / "out")
    assert [entry.name for entry in found.entries] == ["a"] and found.ignored == (folder / "live.mp4",)


def test_memory_that_is_full_anywhere_is_no_fault_of_dft():
    fault = fault_of("analyze", MemoryError("Unable to allocate 8 GiB"))
    assert fault.kind == "error" and "memory is full; got Unable to allocate 8 GiB; run fewer videos" in fault.cause
    assert fault_of("analyze", KeyError("x")).kind == "unexpected"


def test_where_a_batch_is_degraded_and_where_hopeless():
    assert not is_degraded(0, 0) and not is_degraded(1, 20) and is_degraded(1, 19)
    assert not is_hopeless(3, 3) and not is_hopeless(2, 4) and is_hopeless(3, 4) and is_hopeless(51, 101)


# Few encoder sessions: renderings are handed out as far as there are some.


def noted(video, what, kind):
    with (video.parent / "log").open("a") as log:
        log.write(f"{kind} {what} {video.stem}\n")


def slow_analyze(video, output, **more):
    noted(video, "analyze", "begin")
    time.sleep(0.2)
    made = fake_analyze(video, output, **more)
    noted(video, "analyze", "end")
    return made


def slow_render(video, tracks, output, *, settings, **more):
    noted(video, "render", "begin")
    time.sleep(0.6)
    output.with_suffix(".rate").write_text(str(settings.encode.bitrate))
    made = fake_render(video, tracks, output, settings=settings, **more)
    noted(video, "render", "end")
    return made


SLOW = Passes(slow_analyze, slow_render)


@pytest.fixture
def sessions(monkeypatch):
    """Has the machine's GPU, so to speak, encode so many videos at once; and lists who asked."""

    def has(num):
        asked = []
        monkeypatch.setattr(admission, "num_encoders", lambda device: asked.append(device) or num)
        return asked

    return has


def most_at_once(folder, what):
    at_once = most = 0
    for line in (folder / "log").read_text().splitlines():
        kind, step, _ = line.split()
        if step == what:
            at_once += 1 if kind == "begin" else -1
            most = max(most, at_once)
    return most


def test_renderings_wait_for_sessions_if_they_are_to(files, tmp_path, sessions):
    asked = sessions(1)
    folder = files(a="good one", b="good two", c="good three", d="good four")
    report = batch(
        [folder], tmp_path / "out", values=Values({}, {"encoder_busy": "wait"}), options=BatchOptions(streams=2),
        passes=SLOW,
    )  # fmt: skip
    assert report.num("done") == 4 and len(asked) == 1 and most_at_once(folder, "render") == 1


@pytest.fixture
def schedule_of(files, tmp_path):
    """A schedule of four videos, the last one the most urgent, for a card of so many sessions."""

    def make(max_encoding, **rendering):
        folder, output = files(**dict.fromkeys("abcd", "good")), tmp_path / "out"
        (output / ".dft-batch").mkdir(parents=True)
        entries = [Entry(folder / f"{name}.mp4", name, priority) for priority, name in enumerate("abcd")]
        jobs = make_jobs(entries, output, Values({}, rendering), threads=1)
        return Schedule(jobs, BatchState(output), BatchOptions(), Silent(), max_encoding)

    return make


def finish(schedule, number, task):
    for path in task.job.results(task.step):
        path.write_text(f"{task.step} of {task.job.name}")
    schedule.told(number, task, Made(10, 1.0, tuple(fingerprints(task.job.results(task.step))), ()))


def names(taken):
    return [(task.job.name, task.step) for _, task in taken]


def all_now(schedule):
    taken = []
    while (one := schedule.take()) is not None:
        taken.append(one)
    return taken


def test_who_comes_first_at_the_encoder_is_decided_by_priority(schedule_of):
    schedule = schedule_of(2, encoder_busy="wait")
    analyzing = all_now(schedule)
    assert names(analyzing) == [(name, "analyze") for name in "dcba"]
    finish(schedule, *analyzing[3])
    finish(schedule, *analyzing[2])
    rendering = all_now(schedule)
    assert names(rendering) == [("b", "render"), ("a", "render")]
    finish(schedule, *analyzing[1])
    finish(schedule, *analyzing[0])
    assert all_now(schedule) == [] and schedule.num_waiting == 2 and not schedule.is_empty
    finish(schedule, *rendering[1])
    (urgent,) = all_now(schedule)
    assert names([urgent]) == [("d", "render")]
    schedule.lost(*urgent, "died", "died")
    assert names(all_now(schedule)) == [("d", "render")], "it comes before c again"
    schedule.told(*rendering[0], Fault("render", "error", "cause", "answer"))
    assert names(all_now(schedule)) == [("c", "render")] and schedule.is_empty


@pytest.mark.parametrize("rendering", [{"encoder_busy": "x264"}, {"encoder_busy": "wait", "device": "cpu"}])
def test_what_does_not_wait_for_an_encoder_is_not_held_back(schedule_of, rendering):
    schedule = schedule_of(1, **rendering)
    for one in all_now(schedule):
        finish(schedule, *one)
    assert names(all_now(schedule)) == [(name, "render") for name in "dcba"]


def test_nobody_asks_for_sessions_where_nothing_is_rendered(files, tmp_path, sessions):
    asked = sessions(1)
    options = BatchOptions(("analyze",), streams=2)
    assert batch([files(a="good")], tmp_path / "out", options=options, passes=SLOW).num("done") == 1 and not asked


def test_a_bit_rate_is_cut_where_three_share_the_encoder(files, tmp_path, sessions):
    sessions(3)
    values, options = Values({}, {"bitrate": 1000}), BatchOptions(streams=3, share_bitrate=True)
    folder = files(a="good a", b="good b", c="good c")
    report = batch([folder], tmp_path / "out", values=values, options=options, passes=SLOW)
    assert [path.read_text() for path in (tmp_path / "out").glob("*.rate")] == ["700"] * 3
    note = "700 instead of 1000 kbit/s, variable: 3 renderings share the encoder"
    assert [note in video.notes for video in report.videos] == [True] * 3
    assert (tmp_path / "out" / "batch.html").read_text().count(f"<li>{note}</li>") == 3
    again = batch([folder], tmp_path / "out", values=values, options=options, passes=SLOW)
    assert again.num("skipped") == 3 and [note in video.notes for video in again.videos] == [True] * 3
    alone = batch([folder], tmp_path / "out", values=values, options=replace(options, streams=1), passes=SLOW)
    assert alone.num("skipped") == 3, "how many there are at once is no setting of the video"


@pytest.mark.parametrize(
    ("num_renderings", "rendering", "wanted"),
    [
        (3, {"bitrate": 1000}, 700), (2, {"bitrate": 1000}, 1000), (0, {"bitrate": 1000}, 1000), (8, {}, None),
        (8, {"bitrate": 1000, "device": "cpu"}, 1000), (3, {"bitrate": 60}, 50),
    ],
)  # fmt: skip
def test_which_bit_rates_are_cut(files, tmp_path, num_renderings, rendering, wanted):
    entries = [Entry(files(a="good") / "a.mp4", "a")]
    jobs = make_jobs(entries, tmp_path, Values({}, rendering), threads=1)
    (job,) = sharing_bitrate(jobs, num_renderings)
    assert job.rendering.encode.bitrate == wanted
    assert len(job.notes) == (wanted != rendering.get("bitrate"))


def test_how_many_render_at_once():
    for num_encoders, streams, wanted in ((None, 5, 0), (3, 5, 3), (8, 5, 5), (0, 5, 1)):
        found = admission.admit(admission.Machine(16, (), num_encoders), streams, 100)
        assert found.num_renderings == wanted


def test_each_row_of_the_table_names_tests_that_are_there():
    root = Path(__file__).parents[3]
    rows = [line for line in (root / "docs" / "faults.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) >= 17
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row.split("|")[-2])
        assert named, row
        for path, name in named:
            assert f"\ndef {name}(" in (root / path).read_text(), f"{path} has no {name}"
