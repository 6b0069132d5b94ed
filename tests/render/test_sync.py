"""Sound and picture of a minute, measured by beeps and flashes: together in the source, together in the rendering."""

from fractions import Fraction

import av
import numpy as np
import pytest

from dft.configs.rendering import EncodeSettings, OutputSettings, RenderSettings
from dft.engines.probe import scan
from dft.render.pipeline import render
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint

SECONDS, SIZE, RATE = 60, (160, 96), 48_000
MOMENTS = (1.5, 30.0, 58.5)
LIMIT = 0.020  # seconds
SETTINGS = RenderSettings(
    output=OutputSettings(size="96x64"), encode=EncodeSettings(preset="ultrafast", segment_seconds=7)
)
FACES = (("A", "left", (20, 30, 44, 60)), ("B", "right", (110, 30, 134, 60)))


def times(variable):
    """Times of all frames in milliseconds: 20 frames/s, or steps from 17 to 130 ms with a frame at every moment."""
    if not variable:
        return np.arange(0, SECONDS * 1000, 50)
    steps = np.random.default_rng(5).choice([17, 33, 42, 60, 130], SECONDS * 40)
    made = np.union1d(np.cumsum(steps), [0, *(round(moment * 1000) for moment in MOMENTS)])
    return made[made < SECONDS * 1000]


def write_source(path, codec, variable, late):
    """White for 0.3 s from every moment on, and as long a beep; the sound's stream begins ``late`` seconds in."""
    pts = times(variable)
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2"})
        picture.width, picture.height, picture.pix_fmt = *SIZE, "yuv420p"
        picture.codec_context.time_base = Fraction(1, 1000)
        sound = container.add_stream(codec, rate=RATE, layout="mono")
        for time in pts.tolist():
            lit = any(0 <= time / 1000 - moment < 0.3 for moment in MOMENTS)
            grey = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
            grey[: SIZE[1]] = 235 if lit else 40
            frame = av.VideoFrame.from_ndarray(grey, "yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        write_beeps(container, sound, late)


def write_beeps(container, stream, late):
    at = np.arange(round(late * RATE), SECONDS * RATE) / RATE
    on = np.any([(at >= moment) & (at < moment + 0.3) for moment in MOMENTS], axis=0)
    wave = np.where(on, 0.5 * np.sin(2 * np.pi * 1000 * at), 0.0).astype(np.float32)
    for start in range(0, len(wave), 1024):
        part = wave[None, start : start + 1024]
        if stream.format.name == "s16":
            part = np.int16(part * 32767)
        frame = av.AudioFrame.from_ndarray(part, stream.format.name, "mono")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), round(late * RATE) + start
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def flashes(path):
    """When the picture turns white, in seconds."""
    with av.open(str(path)) as container:
        seen = [
            (float(frame.pts * frame.time_base), frame.to_ndarray()[:30].mean()) for frame in container.decode(video=0)
        ]
    lit = [time for (_, before), (time, now) in zip([(0.0, 0.0), *seen[:-1]], seen, strict=True) if before < 140 < now]
    return np.array(lit)


def beeps(path):
    """When the sound becomes loud, in seconds."""
    found, quiet_until = [], -1.0
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray().astype(float)[0]
            loud = np.flatnonzero(np.abs(samples) > (8000 if frame.format.name.startswith("s16") else 0.25))
            for place in loud:
                time = float(frame.pts * frame.time_base) + place / RATE
                if time > quiet_until:
                    found.append(time)
                quiet_until = time + 0.1
    return np.array(found)


@pytest.mark.parametrize("late", [0.0, 0.7], ids=["from-the-start", "late"])
@pytest.mark.parametrize("variable", [False, True], ids=["constant", "variable"])
@pytest.mark.parametrize(
    "files", [(".mp4", "aac", ".mp4"), (".mkv", "flac", ".mkv"), (".mkv", "aac", ".mp4")], ids=" ".join
)
def test_sound_and_picture_stay_together(tmp_path, make_table, make_metadata, files, variable, late):
    inside, codec, outside = files
    source = tmp_path / f"in{inside}"
    write_source(source, codec, variable, late)
    index = scan(source)
    with av.open(str(source)) as container:
        time_base = Fraction(container.streams.video[0].time_base)
    metadata = make_metadata(len(index), SIZE, time_base=time_base, sha256=fingerprint(source))
    write_tracks(tmp_path / "in.tracks.parquet", make_table(FACES, len(index), index.pts), metadata, overwrite=True)
    report = render(source, output=tmp_path / f"out{outside}", settings=SETTINGS)
    seen, heard = flashes(report.output), beeps(report.output)
    np.testing.assert_allclose(flashes(source), MOMENTS, atol=0.001)  # the source is what it is meant to be
    np.testing.assert_allclose(seen, MOMENTS, atol=0.0011)
    assert len(heard) == len(seen) == 3
    assert np.abs(heard - seen).max() <= LIMIT
    np.testing.assert_allclose(heard - seen, beeps(source) - flashes(source), atol=0.0021)  # and just as before
    (quality,) = report.quality
    assert quality.picture_drift_ms <= 0.51
    assert max(map(abs, quality.sound_drift_ms.values())) <= 1.01
    assert set(quality.sound_drift_ms) == {"start", "middle", "end"}
