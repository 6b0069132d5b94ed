"""The whole pass on small videos with known truth."""

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from dft.configs.errors import (
    CorruptVideoError,
    NoFaceError,
    OutputError,
    OutputExistsError,
    SettingError,
    TrackFileNotFoundError,
    TrackMismatchError,
    VideoError,
)
from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings
from dft.engines.join import Facts, Piece
from dft.engines.probe import probe, scan
from dft.render.losses import LostFrames
from dft.render.pipeline import default_output, render
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint

SIZE = (320, 180)
FACES = {"left": ((80, 80), (40, 200, 90)), "right": ((200, 100), (200, 60, 180))}  # centre, RGB
SETTINGS = RenderSettings(output=OutputSettings(size="256x144"), encode=EncodeSettings(preset="ultrafast", crf=10))


def faces_picture(number, size=SIZE):
    """A coloured square for each head on grey; all frames are alike."""
    rgb = np.full((size[1], size[0], 3), 90, np.uint8)
    for (x, y), colour in FACES.values():
        rgb[y - 20 : y + 20, x - 16 : x + 16] = colour
    return rgb


def tracks_for(video, make_table, make_metadata, faces=FACES, **changes):
    """The true tracks of ``video``, beside it."""
    info, index = probe(video), scan(video)
    rows = [("AB"[n], side, (x - 16, y - 20, x + 16, y + 20)) for n, (side, ((x, y), _)) in enumerate(faces.items())]
    values = {
        "sha256": fingerprint(video), "rotation": info.rotation, "start_pts": int(index.pts[0]),
        "size": (info.width, info.height), "time_base": info.time_base, **changes,
    }  # fmt: skip
    metadata = make_metadata(values.pop("num_frames", len(index)), **values)
    path = video.with_suffix(".tracks.parquet")
    write_tracks(path, make_table(rows, len(index), index.pts), metadata, overwrite=True)
    return path


@pytest.fixture
def made(media, tmp_path, make_table, make_metadata):
    """A video of both heads by recipe, with its tracks: ``made(name="in.mkv", ...) -> path``."""

    def make(tracks=True, faces=FACES, draw=faces_picture, **recipe):
        recipe = {"num_frames": 30, "size": SIZE, "options": media.x264(10, 2), "name": "in.mp4", **recipe}
        video = media.write(tmp_path / recipe["name"], media.recipe(**recipe), draw)
        if tracks:
            tracks_for(video, make_table, make_metadata, faces)
        return video

    return make


def frames_of(path):
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def times_of(path):
    info, index = probe(path), scan(path)
    return [int(pts) * info.time_base for pts in index.pts]


def assert_heads_in_place(picture, sides=("left", "right")):
    """In each tile the person's own colour around the face's place, and nobody else's anywhere."""
    width = picture.shape[1] // len(sides)
    for number, side in enumerate(sides):
        tile = picture[:, number * width : (number + 1) * width].astype(int)
        colour = np.array(FACES[side][1])
        found = np.abs(tile - colour).max(axis=2) < 25
        rows, columns = np.nonzero(found)
        assert rows.mean() / tile.shape[0] == pytest.approx(0.42, abs=0.03)
        assert columns.mean() / width == pytest.approx(0.5, abs=0.03)
        assert np.ptp(rows) / tile.shape[0] == pytest.approx(0.36, abs=0.03)
        other = np.array(FACES["right" if side == "left" else "left"][1])
        assert (np.abs(tile - other).max(axis=2) < 25).mean() < 0.001


def test_both_people_side_by_side_at_their_times(made):
    video, calls = made(audio=True), []
    report = render(video, settings=SETTINGS, progress=lambda done, total: calls.append((done, total)))
    assert (report.outputs, report.frames, report.reused) == ((default_output(video),), 30, 0)
    assert (report.duration_seconds, report.notes) == (1.2, ())
    assert set(report.stages) >= {"plan", "decode", "compose", "encode", "wait", "mux"}
    assert report.output.name == "in.dft.mp4"
    pictures = frames_of(report.output)
    assert [time for time, _ in pictures] == times_of(video)
    for _, picture in pictures:
        assert picture.shape == (144, 256, 3)
        assert_heads_in_place(picture)
    assert calls == [(number, 30) for number in range(1, 31)]
    with av.open(str(report.output)) as result, av.open(str(video)) as source:
        sound = [[bytes(packet) for packet in file.demux(audio=0) if packet.size] for file in (result, source)]
    assert sound[0] == sound[1] and len(sound[0]) > 20


VARIABLE = tuple(np.cumsum([0, *np.random.default_rng(2).choice([17, 33, 41, 120], 29)]).tolist())


@pytest.mark.parametrize("name", ["in.mp4", "in.mkv"])
@pytest.mark.parametrize("start", [0, 2500])
def test_variable_rate_and_start_are_kept(made, name, start):
    video = made(name=name, pts=tuple(start + pts for pts in VARIABLE), time_base=Fraction(1, 1000))
    report = render(video, settings=SETTINGS)
    assert [time for time, _ in frames_of(report.output)] == times_of(video)
    assert times_of(video)[0] == Fraction(start, 1000)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(made, rotation):
    upright = [faces_picture(0)] * 30
    coded = [np.rot90(picture, rotation // 90) for picture in upright]  # anticlockwise, to be turned back
    size = SIZE if rotation == 180 else SIZE[::-1]
    video = made(size=size, rotation=rotation, draw=coded.__getitem__)
    report = render(video, settings=SETTINGS)
    pictures = frames_of(report.output)
    assert len(pictures) == 30
    assert_heads_in_place(pictures[10][1])
    assert probe(report.output).rotation == 0


@pytest.mark.parametrize("recipe", [
    {"name": "in.mkv", "codec": "ffv1", "size": (321, 181), "options": ()},
    {"pixel_format": "yuv420p10le"},
    {"pixel_format": "yuv444p", "size": (321, 181)},
    {"name": "in.avi", "codec": "mpeg4", "options": (("qmax", "2"),)},
], ids=["odd-size", "ten-bits", "4:4:4-odd", "avi"])  # fmt: skip
def test_unusual_pictures(made, recipe):
    draw = lambda number: faces_picture(number, recipe.get("size", SIZE))  # noqa: E731
    report = render(made(draw=draw, **recipe), settings=SETTINGS)
    assert_heads_in_place(frames_of(report.output)[5][1])


def test_pixel_aspect_is_undone(made):
    """Heads that are stored at half width come out at their true width."""
    narrow = faces_picture(0)[:, ::2]
    faces = {side: ((x / 2, y), colour) for side, ((x, y), colour) in FACES.items()}
    video = made(size=(160, 180), pixel_aspect=Fraction(2), draw=([narrow] * 30).__getitem__, faces=faces)
    picture = frames_of(render(video, settings=SETTINGS).output)[5][1]
    found = np.abs(picture[:, :128].astype(int) - np.array(FACES["left"][1])).max(axis=2) < 25
    rows, columns = np.nonzero(found)
    assert np.ptp(columns) / np.ptp(rows) == pytest.approx(32 / 40, abs=0.06)


def test_a_lone_person_by_setting(made):
    only = {"right": FACES["right"]}
    video = made(faces=only)
    single = frames_of(render(video, settings=SETTINGS).output)[5][1]
    found = np.abs(single.astype(int) - np.array(FACES["right"][1])).max(axis=2) < 25
    assert np.nonzero(found)[1].mean() == pytest.approx(128, abs=16)
    hold = RenderSettings(OutputSettings(size="256x144", lone="hold"), encode=SETTINGS.encode)
    held = render(video, output=video.with_name("held.mp4"), settings=hold)
    assert any("one person" in note for note in held.notes)


@pytest.mark.parametrize("name", ["out.mov", "out.mkv"])
def test_other_containers(made, name):
    video = made(audio=True)
    report = render(video, output=video.with_name(name), settings=SETTINGS)
    assert len(frames_of(report.output)) == 30
    with av.open(str(report.output)) as container:
        assert len(container.streams.audio) == 1


@pytest.mark.parametrize(("audio", "tracks"), [("none", 0), ("first", 1), ("all", 1)])
def test_the_sound_that_is_asked_for(made, audio, tracks):
    settings = RenderSettings(SETTINGS.output, encode=EncodeSettings(preset="ultrafast", audio=audio))
    report = render(made(audio=True), settings=settings)
    with av.open(str(report.output)) as container:
        assert len(container.streams.audio) == tracks


def test_a_truncated_video_renders_as_far_as_it_goes_and_says_so(made):
    video = made(name="in.mkv", audio=True)
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    report = render(video, settings=SETTINGS, force=True)
    assert 3 < report.frames < 30
    assert len(frames_of(report.output)) == report.frames
    told = " | ".join(report.notes)
    assert "another file" in told and "tracks were made from 30" in told


def test_damaged_frames_are_left_out_and_the_others_keep_their_times(made):
    video = made(
        num_frames=60, draw=lambda number: np.random.default_rng(number).integers(0, 255, (*SIZE[::-1], 3), np.uint8)
    )
    wanted = times_of(video)
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        victims = [packet for packet in container.demux(video=0) if packet.size][20:24]
    for packet in victims:
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    video.write_bytes(content)
    report = render(video, settings=SETTINGS, force=True)
    times = [time for time, _ in frames_of(report.output)]
    assert 30 < report.frames == len(times) < 60
    assert set(times) < set(wanted)
    assert any(f"{60 - report.frames} of 60 frames" in note for note in report.notes)


def spoil(video, numbers):
    """Overwrite packets of an all-intra video."""
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        victims = [packet for packet in container.demux(video=0) if packet.size]
    for packet in (victims[number] for number in numbers):
        content[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    video.write_bytes(content)


def test_too_much_damage_is_no_result(made, media, tmp_path):
    """As much as the analysis puts up with, which the track file tells; the result is not left there in part."""
    video = made(options=media.x264(1, 0))
    spoil(video, range(10, 16))
    assert render(video, settings=SETTINGS, force=True).frames == 24
    spoil(video, [16])
    with pytest.raises(CorruptVideoError, match=r"in\.mp4 is too damaged; got 7 of 30 frames .*; expected at most 20%"):
        render(video, settings=SETTINGS, force=True, overwrite=True)


def test_a_track_file_tells_how_much_damage_was_allowed(made, media, make_table, make_metadata):
    video = made(options=media.x264(1, 0))
    spoil(video, range(10, 20))

    def lenient(*args, **changes):
        return replace(make_metadata(*args, **changes), settings={"max_corrupt": 0.5})

    tracks_for(video, make_table, lenient)
    report = render(video, settings=SETTINGS)
    assert (report.frames, report.notes) == (20, ("10 of 30 frames are damaged and were left out",))


LOSSLESS = {"name": "in.mkv", "codec": "ffv1", "options": ()}


def test_frames_at_one_time_are_not_called_damaged(made):
    video = made(pts=(*range(10), 9, 9, *range(10, 28)), **LOSSLESS)
    report = render(video, settings=SETTINGS)
    assert (report.frames, report.notes) == (28, ("2 of 30 frames have the time of another and were left out",))


@pytest.mark.parametrize(
    ("written", "damaged", "shared", "allowed"),
    [
        ([[0, 1, 2], [3, 5]], 0, 2, 0.3),
        ([[0, 1], [3, 5]], 1, 2, 0.5),
        ([[0, 1, 2, 3]], 1, 2, 0.5),
        ([[0, 1, 2, 5]], 2, 1, 0.5),
    ],
)
def test_what_is_left_out_is_told_apart_and_counted_together(written, damaged, shared, allowed):
    pieces = [Piece(Path("p.mp4"), 0, Facts(len(pts), 0, "", ""), np.array(pts)) for pts in written]
    lost = LostFrames.of(pieces, np.array([0, 1, 1, 2, 3, 3, 5]))
    assert (lost.damaged, lost.shared) == (damaged, shared)
    told = {
        f"{damaged} of 7 frames are damaged and were left out",
        f"{shared} of 7 frames have the time of another and were left out",
    }
    assert set(lost.notes()) == {note for note in told if not note.startswith("0")}
    lost.check(Path("in.mp4"), allowed)
    with pytest.raises(CorruptVideoError, match=f"got {damaged} of 7 .* decoded, and {shared} at the time of another"):
        lost.check(Path("in.mp4"), allowed / 2)


def test_a_video_without_times_is_refused_in_one_line(made, tmp_path):
    video = made(pts=(0,) * 30, **LOSSLESS)
    with pytest.raises(CorruptVideoError, match=r"in\.mkv has no usable time stamps; got 29 of 30 frames") as caught:
        render(video, settings=SETTINGS)
    assert "\n" not in str(caught.value) and "damaged" not in str(caught.value)
    assert left_behind(tmp_path) == ["in.mkv"]


def test_b_frames_in_avi_are_in_order(made, media):
    """AVI has no times of presentation."""
    video = made(name="in.avi", options=media.x264(10, 2))
    report = render(video, settings=SETTINGS)
    assert (report.frames, report.duration_seconds) == (30, 1.2)
    assert report.notes[0] == "the file holds no times of presentation: its frames are in the order of the decoder"
    assert not any("left out" in note and "frames" in note for note in report.notes)
    times = [time for time, _ in frames_of(report.output)]
    assert np.diff(times).tolist() == [Fraction(1, 25)] * 29


def left_behind(folder):
    return sorted(path.name for path in folder.iterdir() if path.name not in ("in.mp4", "in.tracks.parquet"))


def test_existing_results_are_kept_unless_told(made, tmp_path):
    video = made()
    (tmp_path / "in.dft.mp4").write_text("mine")
    with pytest.raises(OutputExistsError):
        render(video, settings=SETTINGS)
    assert (tmp_path / "in.dft.mp4").read_text() == "mine"
    assert render(video, settings=SETTINGS, overwrite=True).frames == 30
    assert left_behind(tmp_path) == ["in.dft.mp4", "in.dft.mp4.qc.json"]


@pytest.mark.parametrize("name", ["in.mp4", "in.tracks.parquet"])
def test_an_input_is_never_the_output(made, tmp_path, name):
    video = made()
    before = (tmp_path / name).read_bytes()
    with pytest.raises(OutputError):
        render(video, output=tmp_path / name, settings=SETTINGS, overwrite=True)
    assert (tmp_path / name).read_bytes() == before


def test_errors_leave_nothing(made, tmp_path, make_table, make_metadata):
    video = made()
    with pytest.raises(SettingError):
        render(video, output=tmp_path / "out.avi", settings=SETTINGS)
    with pytest.raises(OutputError):
        render(video, output=tmp_path / "none" / "out.mp4", settings=SETTINGS)
    with pytest.raises(TrackFileNotFoundError):
        render(video, tmp_path / "none.parquet", settings=SETTINGS)
    with pytest.raises(VideoError):
        render(tmp_path / "none.mp4", tmp_path / "in.tracks.parquet", settings=SETTINGS)
    tracks_for(video, make_table, make_metadata, {})
    with pytest.raises(NoFaceError):
        render(video, settings=SETTINGS)
    assert left_behind(tmp_path) == []


def test_tracks_of_another_video_need_force_and_the_same_size(made, tmp_path, make_table, make_metadata):
    video = made()
    tracks_for(video, make_table, make_metadata, sha256="1" * 64)
    with pytest.raises(TrackMismatchError):
        render(video, settings=SETTINGS)
    assert render(video, settings=SETTINGS, force=True).notes == ("the tracks were made from another file",)
    tracks_for(video, make_table, make_metadata, size=(640, 360))
    with pytest.raises(TrackMismatchError, match="320x180"):
        render(video, settings=SETTINGS, force=True, overwrite=True)


def test_an_error_in_the_caller_s_progress_stops_everything(made, tmp_path):
    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(made(), settings=SETTINGS, progress=stop)
    assert left_behind(tmp_path) == []


def test_the_package_can_be_called(made):
    import dft

    assert dft.render(made(), settings=SETTINGS).frames == 30


FULL_DISK = """
import resource, sys
from dft.configs.errors import OutputError
from dft.render.pipeline import render
resource.setrlimit(resource.RLIMIT_FSIZE, (3000,) * 2)
try:
    render(sys.argv[1])
except OutputError as error:
    print("OutputError", error)
"""


def test_a_full_disk_leaves_nothing(made, tmp_path):
    video = made()
    arguments = [sys.executable, "-c", FULL_DISK, str(video)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.startswith("OutputError cannot write") and len(done.stdout.splitlines()) == 1
    assert left_behind(tmp_path) == []
