"""Reviews of small videos whose frames show their number, and a client that talks to a real server."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest

from dft.engines.probe import probe, scan
from dft.render.reviewing import ReviewedVideo
from dft.trackio.edits.session import Edits
from dft.trackio.files import write_tracks
from dft.trackio.fingerprint import fingerprint
from dft.trackio.metadata import DeviceRecord, Shot, Suspect, TrackMetadata, TrackRecord, VideoRecord
from dft.trackio.review.lifetime import Lifetime
from dft.trackio.review.review import Review
from dft.trackio.review.server import ReviewServer
from dft.trackio.schema import SCHEMA

CUT = 25
A_BOX, B_BOX = (10.0, 20.0, 26.0, 40.0), (60.0, 20.0, 76.0, 40.0)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """What is kept between runs stays out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def table_of(pts: Any, swapped: tuple[int, int] | None = None) -> pa.Table:
    """A on the left and B on the right of a frame of 96 x 64, nearest to each other in frame 12; a cut before 25.

    B is interpolated in frames 30 to 33, a bystander is seen in frames 40 to 44, A is missing in frame 20. In the
    frames ``swapped`` each has the other's face, in tracks of their own.
    """
    rows = []
    for frame, stamp in enumerate(pts.tolist()):
        shot, near = int(frame >= CUT), max(0, 10 - 5 * abs(frame - 12))
        wrong = swapped is not None and swapped[0] <= frame <= swapped[1]
        faces = [
            ("A", "left", A_BOX, near, 1),
            ("B", "right", B_BOX, -near, 2),
            (None, None, (40.0, 4.0, 48.0, 14.0), 0, 7),
        ]
        for person, side, (x1, y1, x2, y2), shift, track in faces:
            if (person == "A" and frame == 20) or (person is None and not 40 <= frame <= 44):
                continue
            name, place, number = person, side, track + 10 * shot
            if wrong and person is not None:
                name, place, number = "BA"["AB".index(person)], ("left", "right")[person == "A"], track + 100
            guessed = person == "B" and 30 <= frame <= 33
            rows.append({
                "frame_index": frame, "pts": stamp, "track_id": number, "person": name, "side": place,
                "x1": x1 + shift, "y1": y1, "x2": x2 + shift, "y2": y2, "score": 0.0 if guessed else 0.9,
                "landmarks": None, "origin": "interpolated" if guessed else "detected", "shot": shot,
            })  # fmt: skip
    rows.sort(key=lambda row: (row["frame_index"], row["track_id"]))
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def write_review(video: Path, tracks: Path, swapped: tuple[int, int] | None = None, **changes: Any) -> Path:
    """The track file of :func:`table_of` for a video of 50 frames."""
    info, index = probe(video), scan(video)
    pts = index.pts

    def suspect(kind: str, first: int, last: int, probability: float, **more: Any) -> Suspect:
        return Suspect(kind, first, last, int(pts[first]), int(pts[last]), probability, f"{kind} of A and B", **more)

    about: dict[str, Any] = {
        "persons": ("A", "B"), "models": {}, "settings": {}, "device": DeviceRecord("cpu", "asked for"),
        "tool_version": "0.1.0",
        "shots": (Shot(0, CUT - 1, int(pts[0]), int(pts[CUT - 1])), Shot(CUT, 49, int(pts[CUT]), int(pts[49]))),
        "suspects": (
            suspect("contact", 10, 14, 0.5), suspect("gap", 30, 33, 0.2), suspect("cut", 25, 49, 0.3),
            suspect("jump", 19, 21, 0.01, state="accepted"),
        ),
        "tracks": (
            TrackRecord(1, "A", 3.0, 4, 0.9), TrackRecord(12, "B", 1.5, 4, 0.9), TrackRecord(2, "B", None, 0, 1.0),
        ),
    }  # fmt: skip
    record = VideoRecord(
        fingerprint(video), info.width, info.height, info.rotation, len(index), info.time_base, info.fps,
        float((index.end_pts - int(pts[0])) * info.time_base), int(pts[0]),
    )  # fmt: skip
    write_tracks(tracks, table_of(pts, swapped), TrackMetadata(video=record, **{**about, **changes}), overwrite=True)
    return tracks


class Client:
    """Talks to a server as its page does.

    Attributes:
        url: The address that was printed.
    """

    def __init__(self, url: str):
        self.url = url
        self.origin, self.token = url.split("/#token=")
        self.host = self.origin.removeprefix("http://")

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Any = None) -> tuple[int, bytes, Any]:
        """Send exactly these headers (and Host, if it is not among them)."""
        connection = http.client.HTTPConnection(self.host, timeout=120)
        with closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def get(self, path: str, **headers: str) -> tuple[int, bytes, Any]:
        return self.ask("GET", path, headers={"X-Dft-Token": self.token, **headers})

    def json(self, path: str) -> Any:
        status, body, headers = self.get(path)
        assert (status, headers["content-type"]) == (200, "application/json"), body
        return json.loads(body)

    def write_headers(self) -> dict[str, str]:
        return {"X-Dft-Token": self.token, "Origin": self.origin, "Content-Type": "application/json"}

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        status, answer, _ = self.ask("POST", path, json.dumps(body).encode(), self.write_headers())
        return status, json.loads(answer)


@contextmanager
def serving(tracks: Path, video: Path, lifetime: Lifetime | None = None) -> Iterator[SimpleNamespace]:
    """A review and its server in a thread; ``thread`` ends when the server does."""
    review = Review(Edits(tracks), ReviewedVideo(video, fingerprint(video)), "ann")
    server = ReviewServer(review, 0, lifetime)
    thread = threading.Thread(target=server.run)
    with closing(review):
        thread.start()
        try:
            yield SimpleNamespace(review=review, server=server, thread=thread, client=Client(server.url), tracks=tracks)
        finally:
            server.stop()
            thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def start(media, tmp_path) -> Iterator[Callable[..., SimpleNamespace]]:
    """Starts a server for a recipe of ``media``."""
    with ExitStack() as opened:

        def begin(recipe: str = "closed gop", lifetime: Lifetime | None = None, **changes: Any) -> SimpleNamespace:
            video = media(recipe)
            tracks = write_review(video, tmp_path / "in.tracks.parquet", **changes)
            return opened.enter_context(serving(tracks, video, lifetime))

        yield begin


@pytest.fixture
def running(start) -> SimpleNamespace:
    return start()


@pytest.fixture(scope="module")
def shared(media, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """A server for tests that change nothing."""
    video = media("closed gop")
    tracks = write_review(video, tmp_path_factory.mktemp("shared") / "in.tracks.parquet")
    with serving(tracks, video, Lifetime(idle_seconds=3600)) as opened:
        yield opened


@pytest.fixture
def number(media) -> Callable[[bytes], int]:
    """The number that a JPEG shows."""

    def read(jpeg: bytes, rotation: int = 0) -> int:
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
        return media.read_number(cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE) if rotation else picture)

    return read


@pytest.fixture(scope="session")
def written() -> Callable[..., Path]:
    return write_review


@pytest.fixture(scope="session")
def table() -> Callable[..., pa.Table]:
    return table_of


@pytest.fixture(scope="session")
def client_of() -> Callable[[str], Client]:
    return Client
