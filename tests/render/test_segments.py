"""Segments: where they begin, what decides them, going on after a stop, and encoding only what an edit touches."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import OutputExistsError
from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings
from dft.engines.probe import scan
from dft.engines.protocols import Canvas
from dft.render.camera.framing import Picture
from dft.render.camera.plan import CameraPlan, View
from dft.render.layout import TileArea
from dft.render.pipeline import render
from dft.render.segments import SHORTEST, divide, segments_of
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint

SIZE, N = (320, 180), 100
SETTINGS = RenderSettings(
    output=OutputSettings(size="128x96"), encode=EncodeSettings(preset="veryfast", segment_seconds=0.5)
)
SEGMENT = 12.5  # frames at 25 frames/s
LEFT, RIGHT = (70, 60, 102, 100), (210, 70, 242, 110)


@given(
    st.lists(st.integers(0, 300), min_size=0, max_size=200),
    st.integers(-500, 500),
    st.sampled_from([Fraction(1, 100), Fraction(1, 1000), Fraction(1001, 30000)]),
    st.floats(0.05, 10),
)
def test_segments_cover_every_frame_once_and_part_no_moment(steps, start, time_base, seconds):
    pts = start + np.cumsum([0, *steps])
    spans = divide(pts, time_base, seconds)
    assert spans[0][0] == 0 and spans[-1][1] == len(pts)
    length = max(1, round(Fraction(seconds) / time_base))
    for (_, end), (first, _) in pairwise(spans):
        assert end == first and pts[first] > pts[end - 1]
    for first, end in spans[:-1]:
        assert pts[end - 1] - pts[first] < length
    last = pts[spans[-1][0] :]
    assert last[-1] - last[0] < length * (1 + SHORTEST)


def camera_of(crops, shown=None, blur=None, canvas=Canvas(64, 48)):  # noqa: B008 - it is frozen
    views = tuple(
        View(
            TileArea(side, x, 0, 32, 48), np.array(own, float), np.ones(len(own), bool) if shown is None else shown,
            np.zeros(len(own)) if blur is None else blur, None, np.zeros(1, np.int64),
        )
        for side, x, own in zip(("left", "right"), (0, 32), crops, strict=True)
    )  # fmt: skip
    return CameraPlan(canvas, views, (), Picture(320, 180))


def keys(camera, pts=None, **circumstances):
    pts = np.arange(30) if pts is None else pts
    return [segment.key for segment in segments_of(camera, pts, [(0, 10), (10, 20), (20, 30)], circumstances)]


def test_a_key_says_what_decides_the_pictures():
    still = [np.tile([0.0, 0, 32, 48], (30, 1)), np.tile([100.0, 0, 132, 48], (30, 1))]
    usual = keys(camera_of(still))
    assert len(set(usual)) == 3 and keys(camera_of(still)) == usual
    moved = [still[0].copy(), still[1]]
    moved[0][15] += 1 / 64
    hidden, blurred = np.arange(30) != 25, (np.arange(30) == 5) * 0.03
    later = np.arange(30)
    later[12:] += 1
    assert [a == b for a, b in zip(usual, keys(camera_of(moved)), strict=True)] == [True, False, True]
    assert [a == b for a, b in zip(usual, keys(camera_of(still, hidden)), strict=True)] == [True, True, False]
    assert [a == b for a, b in zip(usual, keys(camera_of(still, None, blurred)), strict=True)] == [False, True, True]
    assert [a == b for a, b in zip(usual, keys(camera_of(still), later), strict=True)] == [True, False, False]
    for other in (keys(camera_of(still), input="x"), keys(camera_of(still, canvas=Canvas(64, 48, (9, 9, 9))))):
        assert not set(usual) & set(other)


def test_what_is_not_shown_does_not_matter():
    still = [np.tile([0.0, 0, 32, 48], (30, 1)), np.tile([100.0, 0, 132, 48], (30, 1))]
    moved = [still[0].copy(), still[1].copy()]
    moved[0][15] += 7
    moved[1][15] += 7
    shown = np.arange(30) != 15
    assert keys(camera_of(still, shown)) == keys(camera_of(moved, shown))


def noisy(number):
    picture = np.random.default_rng(number).integers(60, 120, (SIZE[1] // 10, SIZE[0] // 10, 3)).astype(np.uint8)
    return np.kron(picture, np.ones((10, 10, 1), np.uint8))


@pytest.fixture
def video(media, tmp_path, make_table, make_metadata):
    path = media.write(tmp_path / "in.mp4", media.recipe(num_frames=N, size=SIZE, name="in.mp4", audio=True), noisy)
    write(path, make_table, make_metadata)
    return path


def write(video, make_table, make_metadata, hidden=()):
    """The tracks of ``video``; left is away in the ``hidden`` frames."""
    index = scan(video)
    left = lambda number: None if number in hidden else LEFT  # noqa: E731
    rows = [("A", "left", left), ("B", "right", RIGHT)]
    with av.open(str(video)) as container:
        time_base = container.streams.video[0].time_base
    metadata = make_metadata(len(index), SIZE, time_base=Fraction(time_base), sha256=fingerprint(video))
    write_tracks(
        video.with_suffix(".tracks.parquet"), make_table(rows, len(index), index.pts), metadata, overwrite=True
    )


def hashes(path):
    with av.open(str(path)) as container:
        return [
            (frame.pts * frame.time_base, hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest())
            for frame in container.decode(video=0)
        ]


def stop_after(frames):
    def progress(done, total):
        if done >= frames:
            raise KeyboardInterrupt

    return progress


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name not in ("in.mp4", "in.tracks.parquet"))


@pytest.mark.parametrize("frames", [5, 40, 99])
def test_a_stopped_rendering_goes_on_and_gives_the_same_video(video, tmp_path, frames):
    undisturbed = render(video, output=tmp_path / "whole.mp4", settings=SETTINGS)
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        render(video, output=output, settings=SETTINGS, progress=stop_after(frames))
    assert not output.exists() and not list(tmp_path.glob("**/*.partial*"))
    finished = len(list((tmp_path / ".out.mp4.segments").glob("*.json"))) if frames > SEGMENT else 0
    assert (".out.mp4.segments" in names(tmp_path)) == (finished > 0)
    assert 0 <= int(frames / SEGMENT) - finished <= 1  # the last one may still have been at its end
    report = render(video, output=output, settings=SETTINGS)
    assert report.reused == pytest.approx(finished * SEGMENT, abs=1)
    assert hashes(output) == hashes(undisturbed.output)
    assert names(tmp_path) == ["out.mp4", "out.mp4.qc.json", "whole.mp4", "whole.mp4.qc.json"]


def test_an_edit_encodes_only_what_it_touches(video, tmp_path, make_table, make_metadata):
    output, settings = tmp_path / "out.mp4", replace(SETTINGS, absence=replace(SETTINGS.absence, absent="black"))
    settings = replace(settings, absence=replace(settings.absence, min_absent=0.1))
    first = render(video, output=output, settings=settings)
    assert first.reused == 0
    before = hashes(output)
    write(video, make_table, make_metadata, hidden=range(55, 60))
    second = render(video, output=output, settings=settings, overwrite=True)
    assert second.reused >= N - 2 * SEGMENT - 1
    fresh = render(video, output=tmp_path / "fresh.mp4", settings=settings)
    assert fresh.reused == 0 and hashes(output) == hashes(fresh.output)
    changed = [number for number, (old, new) in enumerate(zip(before, hashes(output), strict=True)) if old != new]
    assert set(range(55, 60)) <= set(changed) and len(changed) <= 2 * SEGMENT + 1


def test_unchanged_tracks_encode_nothing(video, tmp_path):
    output = tmp_path / "out.mp4"
    render(video, output=output, settings=SETTINGS)
    before = hashes(output)
    again = render(video, output=output, settings=SETTINGS, overwrite=True)
    assert again.reused == N and hashes(output) == before
    sound = replace(SETTINGS, encode=replace(SETTINGS.encode, audio="none"))
    assert render(video, output=output, settings=sound, overwrite=True).reused == N
    other = replace(SETTINGS, encode=replace(SETTINGS.encode, crf=30))
    assert render(video, output=output, settings=other, overwrite=True).reused == 0
    fresh = replace(other, encode=replace(other.encode, reuse=False))
    assert render(video, output=output, settings=fresh, overwrite=True).reused == 0


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_parts_are_taken_from_every_container(video, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    render(video, output=output, settings=SETTINGS)
    before = hashes(output)
    assert render(video, output=output, settings=SETTINGS, overwrite=True).reused == N
    assert hashes(output) == before


def test_an_output_that_was_changed_is_not_trusted(video, tmp_path):
    output = tmp_path / "out.mp4"
    render(video, output=output, settings=SETTINGS)
    good = hashes(output)
    content = bytearray(output.read_bytes())
    with av.open(str(output)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][30]
    content[packet.pos + packet.size // 2] ^= 0xFF
    output.write_bytes(content)
    report = render(video, output=output, settings=SETTINGS, overwrite=True)
    assert N - SEGMENT - 1 <= report.reused < N and hashes(output) == good


def test_a_damaged_segment_is_encoded_again(video, tmp_path):
    output = tmp_path / "out.mp4"
    with pytest.raises(KeyboardInterrupt):
        render(video, output=output, settings=SETTINGS, progress=stop_after(60))
    folder = tmp_path / ".out.mp4.segments"
    parts = sorted(folder.glob("*.mp4"))
    parts[0].write_bytes(parts[0].read_bytes()[: parts[0].stat().st_size // 2])
    parts[1].with_suffix(".json").write_text("{")
    parts[2].with_suffix(".json").rename(folder / f".{parts[2].stem}.partial-1-0.json")  # killed before it counted
    report = render(video, output=output, settings=SETTINGS)
    assert report.reused == pytest.approx((len(parts) - 3) * SEGMENT, abs=1)
    whole = render(video, output=tmp_path / "whole.mp4", settings=SETTINGS)
    assert hashes(output) == hashes(whole.output)


def test_the_report_says_what_went_in_and_came_out(video, tmp_path):
    report = render(video, output=tmp_path / "out.mp4", settings=SETTINGS)
    told = json.loads((tmp_path / "out.mp4.qc.json").read_text())
    (quality,) = report.quality
    assert told == json.loads(json.dumps(quality.as_dict()))
    assert (told["frames_in"], told["frames_out"], told["seconds_in"], told["seconds_out"]) == (N, N, 4.0, 4.0)
    assert told["picture_drift_ms"] == 0 and set(told["sound_drift_ms"].values()) == {0}
    assert [side["side"] for side in told["sides"]] == ["left", "right"]
    assert [side["absent_seconds"] for side in told["sides"]] == [0, 0]


def test_a_foreign_file_in_place_of_the_report_is_kept(video, tmp_path):
    (tmp_path / "out.mp4.qc.json").write_text("mine")
    with pytest.raises(OutputExistsError, match="no QC report"):
        render(video, output=tmp_path / "out.mp4", settings=SETTINGS, overwrite=True)
    assert (tmp_path / "out.mp4.qc.json").read_text() == "mine"


def test_the_report_of_another_version_is_replaced_and_nothing_reused(video, tmp_path):
    output = tmp_path / "out.mp4"
    render(video, output=output, settings=SETTINGS)
    path = tmp_path / "out.mp4.qc.json"
    told = json.loads(path.read_text())
    del told["picture_drift_ms"]
    path.write_text(json.dumps(told))
    assert render(video, output=output, settings=SETTINGS, overwrite=True).reused == 0
    assert "picture_drift_ms" in json.loads(path.read_text())


@pytest.mark.slow
def test_a_killed_rendering_goes_on(video, tmp_path):
    """SIGKILL at any moment leaves nothing under the final name, and the next run gives the same video."""
    whole = render(video, output=tmp_path / "whole.mp4", settings=SETTINGS)
    output = tmp_path / "out.mp4"
    command = [sys.executable, "-m", "dft", "render", str(video), "-o", str(output), "--size", "128x96"]
    command += ["--preset", "veryfast", "--segment-seconds", "0.5"]
    for seconds in (1.0, 1.3, 1.6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(seconds)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if output.exists():
            break
    else:
        subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert hashes(output) == hashes(whole.output)
