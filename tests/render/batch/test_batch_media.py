"""A batch of real videos through both passes: what is wrong with some, kills, and going on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from dft.cli import cli

from .disturbed import SRC, pictures, workers_of

FAST = ["--preset", "ultrafast", "--size", "320x180", "--chunk-seconds", "0.8", "--segment-seconds", "0.8"]


def old(path: Path) -> Path:
    yesterday = time.time() - 86400
    os.utime(path, (yesterday, yesterday))
    return path


@pytest.fixture(scope="module")
def folder(talk, media, tmp_path_factory):
    """Two videos of two people, one of them cut off, one without a face, one without an index, and a text file."""
    folder = tmp_path_factory.mktemp("batch") / "in"
    folder.mkdir()
    shutil.copy(talk.video, folder / "talk.mp4")
    with av.open(str(talk.video)) as source, av.open(str(folder / "cut.mkv"), "w") as target:
        streams = {stream.index: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    whole = (folder / "cut.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    shutil.copy(media("with sound"), folder / "nobody.mp4")
    (folder / "headless.mp4").write_bytes(talk.video.read_bytes()[:100_000])
    (folder / "words.mp4").write_text("this is not a video\n" * 100)
    (folder / "notes.txt").write_text("two good, four bad")
    for path in folder.iterdir():
        old(path)
    return folder


def command(*words):
    return [sys.executable, "-m", "dft", "batch", *map(str, words), *FAST, "--json"]


def run(*words):
    environment = {**os.environ, "PYTHONPATH": SRC}
    done = subprocess.run(command(*words), capture_output=True, text=True, check=False, env=environment, timeout=300)
    return done.returncode, json.loads(done.stdout) if done.stdout.startswith("{") else None, done.stderr


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):
    """Exit status, report, stderr and folder of a batch that nobody disturbs."""
    output = tmp_path_factory.mktemp("undisturbed") / "out"
    return *run(folder, "-o", output, "--streams", 2, "--keep-going"), output


def test_good_ones_are_delivered_and_bad_ones_are_told(undisturbed):
    status, report, stderr, output = undisturbed
    assert status == 1
    outcomes = {video["name"]: video["outcome"] for video in report["videos"]}
    assert outcomes == {"talk": "done", "cut": "done", **dict.fromkeys(("nobody", "headless", "words"), "failed")}
    causes = {video["name"]: video["faults"][0]["cause"] for video in report["videos"] if video["faults"]}
    assert "no face" in causes["nobody"] and "without its index" in causes["headless"]
    assert "no video" in causes["words"]
    assert [Path(path).name for path in report["ignored"]] == ["notes.txt"]
    assert report["verdict"] == "degraded" and "dft: [5/5]" in stderr
    notes = next(video["notes"] for video in report["videos"] if video["name"] == "cut")
    assert any("ends at" in note or "stops" in note for note in notes)
    with av.open(str(output / "talk.dft.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 110
    assert not list(output.glob(".*.segments")) and not list(output.glob(".*.chunks"))


def test_the_page_shows_both_people_at_four_times(undisturbed):
    from base64 import b64decode

    import cv2

    page = (undisturbed[3] / "batch.html").read_text()
    pictures = [b64decode(part.partition('"')[0]) for part in page.split("data:image/jpeg;base64,")[1:]]
    stills = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in pictures]
    assert len(stills) == 8 and {still.shape for still in stills} == {(180, 320, 3)}
    assert all(still.std() > 20 for still in stills)


def test_run_again_it_does_nothing_but_try_what_failed(undisturbed, folder):
    output = undisturbed[3]
    before = {path: path.stat().st_mtime_ns for path in output.glob("*.*") if not path.name.startswith("batch")}
    done = run(folder / "talk.mp4", folder / "cut.mkv", "-o", output)
    assert done[0] == 0 and done[1]["skipped"] == 2 and done[1]["done"] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "done before" in done[2]
    again = run(folder, "-o", output)
    assert again[0] == 1 and (again[1]["skipped"], again[1]["failed"]) == (2, 3)


def wait_for(process, condition):
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, "it ended before it could be killed"
        time.sleep(0.005)


MOMENTS = {
    "a chunk is finished": lambda output: any(output.glob(".*.chunks/chunk-*.npz")),
    "tracks are there": lambda output: any(output.glob("*.parquet")),
    "a segment is finished": lambda output: any(output.glob(".*.segments/*.json")),
}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by way of /proc")
@pytest.mark.parametrize(
    ("moment", "whom"),
    [
        ("a chunk is finished", "batch"),
        pytest.param("tracks are there", "batch", marks=pytest.mark.slow),
        ("a segment is finished", "batch"),
        pytest.param("a chunk is finished", "worker", marks=pytest.mark.slow),
        ("a segment is finished", "worker"),
    ],
)
def test_killed_at_any_moment_it_comes_to_the_same(undisturbed, folder, tmp_path, moment, whom):
    output = tmp_path / "out"
    given = [folder / "talk.mp4", folder / "cut.mkv", "-o", output, "--streams", 2]
    with subprocess.Popen(
        command(*given), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": SRC}
    ) as process:
        wait_for(process, lambda: MOMENTS[moment](output))
        if whom == "batch":
            process.kill()
            process.communicate()
            status, report, stderr = run(*given)
        else:
            for worker in workers_of(process):  # all of them: one may have nothing left to do
                os.kill(worker, signal.SIGKILL)
            out, err = process.communicate(timeout=120)
            status, report, stderr = process.returncode, json.loads(out), err.decode()
    assert status == 0, stderr
    assert report["failed"] == 0 and report["done"] + report["skipped"] == 2
    if whom == "worker":
        kinds = [fault["kind"] for video in report["videos"] for fault in video["faults"]]
        assert kinds in (["died"], ["died"] * 2)
        assert report["recovery_rate"] == 1.0
    for name in ("talk", "cut"):
        ours, theirs = (place / f"{name}.tracks.parquet" for place in (output, undisturbed[3]))
        assert ours.read_bytes() == theirs.read_bytes()
        ours, theirs = (place / f"{name}.dft.mp4" for place in (output, undisturbed[3]))
        assert pictures(ours) == pictures(theirs)
    assert [path.name for path in output.glob(".*")] == [".dft-batch"]


def test_bad_input_is_told_before_any_work(tmp_path):
    (tmp_path / "list.csv").write_text("file\nx\n")
    result = CliRunner().invoke(cli, ["batch", str(tmp_path / "list.csv"), "-o", str(tmp_path / "out")])
    assert "no column video" in str(result.exception) and not (tmp_path / "out").exists()
    result = CliRunner().invoke(cli, ["batch", str(tmp_path), "-o", str(tmp_path / "out")])
    assert "lies in the input folder" in str(result.exception) and not (tmp_path / "out").exists()
