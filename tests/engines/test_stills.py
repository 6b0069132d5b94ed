"""Single frames: exactly the right one, from any thread, in any order, without decoding all again."""

import contextlib
import io
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import CorruptVideoError, EngineError, VideoError
from dft.engines.fake import fake_info
from dft.engines.probe import scan
from dft.engines.protocols import FrameIndex
from dft.engines.sound import has_sound, wav
from dft.engines.stills import kept_index
from dft.engines.stills import reader as stills
from dft.engines.stills.jpeg import display_size, head_and_shoulders
from dft.engines.stills.reader import BEFORE, Expected, Stills
from dft.engines.stills.recent import Recent

EXACT = [
    "closed gop", "open gop", "one keyframe", "variable rate", "variable rate mp4", "start offset", "hevc", "ten bits",
    "rotated", "vp9", "transport stream", "raw h264", "interlaced", "pq", "hlg",
]  # fmt: skip
ORDER = [0, 49, 25, 24, 23, 26, 3, 4, 14, 13, 12, 48, 30, 20, 10, 0]
SOON = 20.0  # seconds until what happens in the background has surely happened


def number_of(jpeg, media, rotation=0):
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    if rotation == 90:
        picture = cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return media.read_number(picture)


def size_of(jpeg):
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1::-1]


def until(true):
    ends = time.monotonic() + SOON
    while not true():
        assert time.monotonic() < ends, "it does not happen"
        time.sleep(0.01)


@pytest.fixture
def gated(monkeypatch):
    """A decoder that gives a picture only while the gate is open; it counts its runs, and loses some frames."""

    class Gate(threading.Event):
        runs = 0
        waiting = threading.Event()
        lost = ()

    gate = Gate()
    gate.set()
    open_decoder = stills.open_decoder

    class Gated:
        def __init__(self, decoder):
            self._decoder, self.index, self.info = decoder, decoder.index, decoder.info

        def frames(self, first, end=None):
            gate.runs += 1
            for frame in self._decoder.frames(first, end):
                if not gate.is_set():
                    gate.waiting.set()
                assert gate.wait(SOON)
                if frame.frame_index not in gate.lost:
                    yield frame

    @contextlib.contextmanager
    def opened(*args):
        with open_decoder(*args) as decoder:
            yield Gated(decoder)

    monkeypatch.setattr(stills, "open_decoder", opened)
    return gate


@pytest.mark.parametrize("name", EXACT)
def test_every_frame_is_the_one_asked_for(name, media):
    recipe = media.videos[name]
    with Stills(media(recipe), threads=2) as opened:
        assert [number_of(opened.frame(f, 0, "me", n), media, recipe.rotation) for n, f in enumerate(ORDER)] == ORDER


def test_a_rotated_video_is_upright_and_a_wide_pixel_is_square(media):
    with Stills(media("rotated"), threads=1) as opened:
        assert size_of(opened.frame(3)) == (64, 96) and size_of(opened.frame(3, 32)) == (32, 48)
    with Stills(media("closed gop", pixel_aspect=Fraction(2)), threads=1) as opened:
        assert size_of(opened.frame(3)) == (192, 64) and size_of(opened.frame(3, 96)) == (96, 32)
        assert number_of(opened.frame(7), media) == 7
        assert size_of(opened.face(3, (10.0, 10.0, 30.0, 40.0), 64)) == (64, 64)


def test_a_picture_is_never_enlarged(media):
    with Stills(media("closed gop"), threads=1) as opened:
        assert size_of(opened.frame(0, 4000)) == (96, 64)


def test_many_threads_get_their_own_frames(media):
    wanted = np.random.default_rng(3).integers(0, 50, 120).tolist()
    with Stills(media("closed gop"), threads=1) as opened, ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda f: number_of(opened.frame(f, (0, 64)[f % 2]), media), wanted))
    assert got == wanted


def test_stepping_back_needs_no_decoding(media, gated):
    with Stills(media("one keyframe"), threads=1) as opened:
        opened.frame(40)
        gated.clear()
        frames = range(40, 40 - BEFORE - 1, -1)
        assert [number_of(opened.frame(f), media) for f in frames] == list(frames)
        gated.set()
        assert gated.runs == 1


def test_stepping_forward_is_read_ahead(media, gated):
    with Stills(media("one keyframe"), threads=1) as opened:
        opened.frame(10, 48, "me", 1)
        until(lambda: (20, 48) in opened._jpegs)
        gated.clear()
        assert number_of(opened.frame(20, 48), media) == 20
        gated.set()


def test_stepping_back_further_is_read_before_it_is_asked_for(media, gated):
    with Stills(media("one keyframe"), threads=1) as opened:
        for serial, frame in enumerate((49, 48)):
            opened.frame(frame, 48, "me", serial)
        until(lambda: all((f, 48) in opened._jpegs for f in range(25, 49 - BEFORE)))
        gated.clear()
        assert [number_of(opened.frame(f, 48), media) for f in range(47, 24, -1)] == list(range(47, 24, -1))
        gated.set()


def test_what_is_expected_is_made_before_it_is_asked_for(media, gated):
    box = (10.0, 10.0, 30.0, 40.0)
    with Stills(media("closed gop"), threads=1) as opened:
        opened.expect([Expected(30, (box,)), Expected(9), Expected(99)])
        until(lambda: not opened._expected)
        gated.clear()
        assert number_of(opened.frame(9, stills.USUAL_WIDTH), media) == 9
        assert size_of(opened.face(30, box, stills.USUAL_FACE)) == (stills.USUAL_FACE,) * 2
        gated.set()


def test_only_the_newest_wish_of_an_asker_is_waited_for(media, gated):
    with Stills(media("intra only"), threads=1) as opened, ThreadPoolExecutor(4) as pool:
        opened.frame(0)
        gated.clear()
        busy = pool.submit(opened.frame, 45)
        assert gated.waiting.wait(SOON)
        old = pool.submit(opened.frame, 20, 0, "page", 1)
        until(lambda: len(opened._wishes) == 2)
        new = pool.submit(opened.frame, 30, 0, "page", 2)
        assert old.result(SOON) is None
        until(lambda: len(opened._wishes) == 2)
        assert opened.frame(25, 0, "page", 1) is None, "it came too late"
        gated.set()
        assert [number_of(wish.result(SOON), media) for wish in (busy, new)] == [45, 30]


def test_a_damaged_frame_is_an_error_and_its_neighbours_are_not(media, gated):
    gated.lost = (10, 49)
    with Stills(media("closed gop"), threads=1) as opened:
        for lost in gated.lost:
            for _ in range(2):
                with pytest.raises(CorruptVideoError, match=f"frame {lost} "):
                    opened.frame(lost, 0, "me")
            assert number_of(opened.frame(lost - 1), media) == lost - 1
        assert number_of(opened.frame(11), media) == 11


def test_frames_that_are_not_there(media):
    with Stills(media("closed gop"), threads=1) as opened:
        for frame in (-1, 50):
            with pytest.raises(IndexError):
                opened.frame(frame)


def test_closing_tells_those_who_wait(media, gated):
    opened = Stills(media("closed gop"), threads=1)
    opened.frame(0)
    gated.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(opened.frame, 40)
        assert gated.waiting.wait(SOON)
        closing = threading.Thread(target=opened.close)
        closing.start()
        until(lambda: opened._closing)
        gated.set()
        closing.join(SOON)
        with pytest.raises(EngineError, match="closed"):
            waiting.result(SOON)
    with pytest.raises(EngineError, match="closed"):
        opened.frame(5)
    opened.close()
    assert not opened._thread.is_alive()


def test_what_fails_in_the_thread_is_raised_where_a_frame_is_asked_for(media, monkeypatch):
    def fails(*_):
        raise VideoError("no index")

    monkeypatch.setattr(stills, "kept_index", fails)
    with Stills(media("closed gop"), threads=1) as opened, pytest.raises(VideoError, match="no index"):
        opened.frame(0)


def test_the_index_is_scanned_once(media, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = media("variable rate")
    made = kept_index.kept_index(path, "abc")
    monkeypatch.setattr(kept_index, "scan", lambda _: pytest.fail("scanned again"))
    kept = kept_index.kept_index(path, "abc")
    for index in (made, kept, scan(path)):
        np.testing.assert_array_equal(index.pts, made.pts)
        np.testing.assert_array_equal(index.keyframe, made.keyframe)
        assert (index.end_pts, index.seekable, index.ended_early) == (made.end_pts, True, None)


def test_an_index_keeps_why_it_ended_early(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    index = FrameIndex(np.arange(3), np.array([True, False, False]), 3, False, "cut off")
    monkeypatch.setattr(kept_index, "scan", lambda _: index)
    kept = kept_index.kept_index(tmp_path, "abc")
    assert (kept.seekable, kept.ended_early, len(kept)) == (False, "cut off", 3)


def test_an_index_keeps_what_its_packets_carry(media, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = [kept_index.kept_index(media("h264 in avi"), "abc") for _ in range(2)]
    for index in made:
        np.testing.assert_array_equal(index.packet_pts, scan(media("h264 in avi")).packet_pts)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=40), st.integers(1, 100))
def test_recent_items_stay_within_their_bytes(puts, limit):
    recent, sizes, order = Recent(limit), {}, []
    for key, size in puts:
        recent.put(key, -key, size)
        sizes[key] = size
        order = [*(other for other in order if other != key), key]
    held = [key for key in order if key in recent]
    assert held == order[len(order) - len(held) :], "the ones used last"
    assert sum(sizes[key] for key in held) <= limit or len(held) == 1
    assert all(recent.get(key) == -key for key in held)
    assert len(recent) == len(held)


@given(
    st.floats(-50, 690), st.floats(-50, 400), st.floats(1, 300), st.floats(1, 400),
    st.sampled_from([Fraction(1), Fraction(4, 3), Fraction(8, 9)]),
)  # fmt: skip
def test_a_crop_around_a_face_is_square_and_inside(x, y, width, height, aspect):
    info = replace(fake_info(640, 360), pixel_aspect=aspect)
    x1, y1, x2, y2 = head_and_shoulders(info, (x, y, x + width, y + height))
    assert -1e-6 <= x1 < x2 <= 640 + 1e-6 and -1e-6 <= y1 < y2 <= 360 + 1e-6
    assert (x2 - x1) * aspect == pytest.approx(y2 - y1)


def test_sizes_to_the_eye():
    info = replace(fake_info(720, 576), pixel_aspect=Fraction(16, 15))
    assert [display_size(info, width) for width in (0, 384, 768, 900)] == [
        (768, 576),
        (384, 288),
        (768, 576),
        (768, 576),
    ]


def test_sound_begins_where_it_is_asked_to(tmp_path):
    path, rate = tmp_path / "tone.mkv", 8000
    ramp = np.arange(2 * rate, dtype=np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
        for start in range(0, len(ramp), 1000):
            frame = av.AudioFrame.from_ndarray(ramp[None, start : start + 1000], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert has_sound(path)
    for start, seconds in [(0.0, 0.5), (0.75, 0.5), (1.5, 1.0)]:
        with wave.open(io.BytesIO(wav(path, start, seconds))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (rate, 1, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        first = round(start * rate)
        wanted = np.zeros(round(seconds * rate), np.int16)
        wanted[: len(ramp) - first] = ramp[first : first + len(wanted)]
        np.testing.assert_array_equal(samples, wanted)


def test_a_video_without_sound(media):
    assert not has_sound(media("closed gop")) and wav(media("closed gop"), 0.0, 1.0) is None
    assert has_sound(media("with sound"))
