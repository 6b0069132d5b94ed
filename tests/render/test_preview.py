"""Looking before rendering: the proof and the stills."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from dft.configs.errors import OutputExistsError, SettingError
from dft.configs.rendering import OutputSettings, RenderSettings
from dft.engines.cpu.draw import Pen, to_bgr
from dft.engines.cpu.image import blank
from dft.engines.probe import scan
from dft.engines.protocols import Colour
from dft.render.pipeline import render
from dft.render.preview import PERSON_COLOURS, PROOF_HEIGHT, VIEW_COLOURS, preview, still
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint

SIZE, N = (320, 180), 30
LEFT, RIGHT = (60, 60, 100, 110), (210, 70, 246, 116)
SETTINGS = RenderSettings(output=OutputSettings(size="256x144"))


@pytest.fixture
def video(media, tmp_path, make_table, make_metadata):
    draw = lambda number: np.full((SIZE[1], SIZE[0], 3), 40 + 5 * number, np.uint8)  # noqa: E731
    recipe = media.recipe(num_frames=N, size=SIZE, name="in.mp4", audio=True, options=media.x264(10, 2))
    path = media.write(tmp_path / "in.mp4", recipe, draw)
    index = scan(path)
    with av.open(str(path)) as container:
        time_base = Fraction(container.streams.video[0].time_base)
    metadata = make_metadata(len(index), SIZE, time_base=time_base, sha256=fingerprint(path))
    rows = [("A", "left", LEFT), ("B", "right", RIGHT)]
    write_tracks(tmp_path / "in.tracks.parquet", make_table(rows, len(index), index.pts), metadata, overwrite=True)
    return path


def frames_of(path):
    with av.open(str(path)) as container:
        return [(frame.pts * frame.time_base, frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]


def near(pixels, rgb, within=40):
    return np.abs(pixels.astype(int) - np.array(rgb)[::-1]).max(axis=-1) < within


def test_the_proof_shows_boxes_and_crops_over_the_source(video, tmp_path):
    calls = []
    report = preview(video, settings=SETTINGS, progress=lambda done, total: calls.append((done, total)))
    assert report.outputs == (tmp_path / "in.preview.mp4",) and report.frames == N and report.notes == ()
    assert calls == [(number, N) for number in range(1, N + 1)]
    pictures = frames_of(report.outputs[0])
    assert [time for time, _ in pictures] == [Fraction(number, 25) for number in range(N)]
    picture, scale = pictures[3][1], PROOF_HEIGHT / SIZE[1]
    assert picture.shape == (PROOF_HEIGHT, 960, 3)
    for (x1, y1, x2, y2), colour in zip((LEFT, RIGHT), PERSON_COLOURS, strict=False):
        edges = picture[round((y1 + y2) / 2 * scale), [round(x1 * scale), round(x2 * scale) - 2]]
        assert near(edges, colour, 70).all()
    for colour in VIEW_COLOURS:
        assert near(picture, colour).sum() > 800
    with av.open(str(report.outputs[0])) as container:
        assert len(container.streams.audio) == 1
    with pytest.raises(OutputExistsError):
        preview(video, settings=SETTINGS)


@pytest.mark.parametrize(("seconds", "number"), [(0, 0), (0.039, 0), (0.04, 1), (0.5, 12), (1.199, 29)])
def test_a_still_is_the_frame_of_the_rendering_at_that_moment(video, tmp_path, seconds, number):
    made = still(video, seconds, settings=SETTINGS).outputs
    assert made == (tmp_path / f"in.{seconds:.3f}s.png",)
    pixels = cv2.imread(str(made[0]))
    wanted = frames_of(render(video, settings=SETTINGS).output)[number][1]
    assert pixels.shape == wanted.shape == (144, 256, 3)
    assert np.abs(pixels.astype(int) - wanted).mean() < 2.5
    assert pixels.mean() == pytest.approx(40 + 5 * number, abs=2.5)


def test_a_still_of_the_proof(video, tmp_path):
    (path,) = still(video, 0.2, output=tmp_path / "p.png", settings=SETTINGS, proof=True).outputs
    pixels = cv2.imread(str(path))
    assert pixels.shape == (PROOF_HEIGHT, 960, 3) and near(pixels, VIEW_COLOURS[0]).sum() > 800


def test_separate_outputs_have_a_still_each(video, tmp_path):
    settings = RenderSettings(output=OutputSettings(layout="separate", size="96x64"))
    made = still(video, 0.2, output=tmp_path / "s.png", settings=settings).outputs
    assert [path.name for path in made] == ["s.left.png", "s.right.png"]
    assert all(cv2.imread(str(path)).shape == (64, 96, 3) for path in made)


@pytest.mark.parametrize("seconds", [1.2, 99])
def test_a_moment_outside_is_told(video, seconds):
    with pytest.raises(SettingError, match=r"a time from 0 to 1\.200 s"):
        still(video, seconds, settings=SETTINGS)


def test_other_kinds_of_picture_are_refused(video, tmp_path):
    with pytest.raises(SettingError, match=r"\.png"):
        still(video, 0, output=tmp_path / "s.jpg", settings=SETTINGS)


@pytest.mark.parametrize("colour", [Colour(1, 1, 1), Colour(5, 5, 6), Colour(1, 1, 1, full_range=True)])
def test_lines_have_their_colour_and_place(colour):
    image = blank(64, 48, colour)
    Pen(image).rectangle(np.array([10.0, 8, 40, 30]), (200, 60, 30), 6)
    pixels = to_bgr(image)
    assert near(pixels[[8, 20, 29], [20, 10, 39]], (200, 60, 30), 16).all()
    assert pixels[20, 24].max() < 20 and pixels[2, 2].max() < 20
    Pen(image).words("A", 12, 44, (255, 255, 255), 12)
    assert (to_bgr(image)[31:46, 8:30].min(axis=2) > 120).sum() > 5
