"""What the routes answer, over a real connection."""

import io
import struct
import subprocess
import sys
import threading
import time
import wave

import cv2
import numpy as np
import pytest

from dft.engines.probe import scan
from dft.trackio.edits.operations import Swap
from dft.trackio.edits.session import Edits
from dft.trackio.review.lifetime import Lifetime
from dft.trackio.review.planned import PLANNING

SWAP = {"op": "swap", "first_frame": 5, "last_frame": 9, "persons": ["A", "B"]}
EXACT = ["variable rate", "variable rate mp4", "open gop", "hevc", "ten bits", "rotated"]


def people(client, frame):
    """Who has which face: x1 by person."""
    return {row[1]: row[3] for row in client.json(f"/api/boxes?first={frame}&last={frame}")["frames"][str(frame)]}


def crops_of(client, first, last):
    """The crops, asked for until they are planned."""
    while True:
        made = client.json(f"/api/crops?first={first}&last={last}")
        if made.get("unavailable") != PLANNING:
            return made


@pytest.mark.parametrize("name", EXACT)
def test_frames_are_exact(start, number, media, name):
    client, rotation = start(name).client, media.videos[name].rotation
    for serial, frame in enumerate((30, 31, 30, 29, 39, 0, 49)):
        status, jpeg, headers = client.get(f"/api/frame/{frame}.jpg", **{"X-Dft-Serial": f"page:{serial}"})
        assert (status, headers["Content-Type"], headers["X-Dft-Frame"]) == (200, "image/jpeg", str(frame))
        assert number(jpeg, rotation) == frame


def test_times_are_those_of_the_file(start, media):
    client = start("variable rate").client
    index = scan(media("variable rate"))
    got = np.frombuffer(client.get("/api/times")[1], "<f8")
    np.testing.assert_allclose(got, (index.pts - index.pts[0]) / 1000, atol=1e-9)


def test_sizes_of_frames_and_crops(shared):
    def size(path):
        status, body, _ = shared.client.get(path)
        assert status == 200
        return cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR).shape[1::-1]

    assert [size(f"/api/frame/7.jpg{query}") for query in ("", "?width=0", "?width=48")] == [
        (96, 64),
        (96, 64),
        (48, 32),
    ]
    assert size("/api/crop/7.jpg?box=10.0,20.0,26.0,40.0&size=32") == (32, 32)


def test_frames_come_as_a_stream(shared, number):
    body = shared.client.get("/api/frames?first=45&num=9&width=96")[1]
    got, at = [], 0
    while at < len(body):
        index, length = struct.unpack_from("<II", body, at)
        got.append((index, number(body[at + 8 : at + 8 + length])))
        at += 8 + length
    assert got == [(frame, frame) for frame in range(45, 50)]


def test_session(shared):
    session = shared.client.json("/api/session")
    assert session["video"] == {
        "name": "v.mp4", "width": 96, "height": 64, "display_width": 96, "display_height": 64, "frame_count": 50,
        "fps": 25.0, "duration_seconds": 2.0, "has_audio": False,
    }  # fmt: skip
    assert session["shots"] == [[0, 24], [25, 49]] and session["persons"] == ["A", "B"]
    assert (session["revision"], session["open_suspects"], session["author"]) == (0, 3, "ann")
    assert (session["tracks"], session["keep_open"]) == ("in.tracks.parquet", False)


def test_suspects_lanes_boxes_and_crops(shared):
    client = shared.client
    suspects = client.json("/api/suspects")["suspects"]
    assert [(each["key"], each["rank"], each["state"]) for each in suspects] == [
        ("cut:25:49", 0, None), ("contact:10:14", 1, None), ("gap:30:33", 2, None), ("jump:19:21", 3, "accepted"),
    ]  # fmt: skip
    assert suspects[1]["start"] == "00:00:00.400"
    card = client.json("/api/suspects/contact:10:14/card")
    assert card["swap"] == {"first_frame": 12, "last_frame": 24, "until": "the end of the tracks"}
    lanes = client.json("/api/lanes?buckets=50")
    assert lanes["right"][28:36] == [1, 1, 2, 2, 2, 2, 1, 1] and lanes["left"][20] == 0 and lanes["cuts"] == [25]
    boxes = client.json("/api/boxes?first=40&last=40")["frames"]["40"]
    assert [row[:3] for row in boxes] == [[11, "A", "left"], [12, "B", "right"], [17, None, None]]
    assert boxes[0][3:] == [10.0, 20.0, 26.0, 40.0, "detected", 0.9]
    crops = crops_of(client, 3, 5)
    assert len(crops["left"]) == len(crops["right"]) == 3
    assert crops["left"][0][0] < crops["right"][0][0]


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/api/frame/50.jpg", 404), ("/api/frame/99999999999999999999.jpg", 404), ("/api/frame/-1.jpg", 404),
        ("/api/frame/x.jpg", 404), ("/api/frame/1.png", 404), ("/api/frame/1.jpg?width=-1", 422),
        ("/api/frame/1.jpg?width=99999", 422), ("/api/frame/1.jpg?width=1e3", 422), ("/api/crop/1.jpg", 422),
        ("/api/crop/1.jpg?box=1,2,3", 422), ("/api/crop/1.jpg?box=5,5,1,1", 422),
        ("/api/crop/1.jpg?box=nan,0,1,1", 422),
        ("/api/crop/1.jpg?box=0,0,inf,9", 422), ("/api/crop/50.jpg?box=1,2,3,4", 404),
        ("/api/boxes?first=9&last=3", 422),
        ("/api/boxes?first=0&last=50", 422), ("/api/lanes?buckets=0", 422), ("/api/lanes?buckets=99999999", 422),
        ("/api/suspects/gap:1:2/card", 404), ("/api/suspects/..%2f..%2fx/card", 404), ("/api/sound.wav?start=0", 404),
        ("/api/sound.wav?start=nan", 422), ("/api/sound.wav?seconds=31", 422), ("/api/sound.wav?start=x", 422),
        ("/api/frames?first=50", 422), ("/api/events?revision=x", 422), ("/api/nothing", 404),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(shared, path, wanted):
    status, body, _ = shared.client.get(path)
    assert (status, body[:10]) == (wanted, b'{"error":"') and b"\n" not in body and b"Traceback" not in body


@pytest.mark.parametrize(
    "body",
    [
        [], "x", {}, {"revision": "0", "operation": SWAP}, {"revision": True, "operation": SWAP}, {"revision": 0},
        {"revision": 0, "operation": {"op": "drop tables"}}, {"revision": 0, "operation": {**SWAP, "more": 1}},
        {"revision": 0, "operation": {**SWAP, "last_frame": 99}},
        {"revision": 0, "operation": {**SWAP, "first_frame": 1.5}},
        {"revision": 0, "operation": SWAP, "dry_run": "yes"}, {"revision": 1 << 40, "operation": SWAP},
    ],
)  # fmt: skip
def test_edits_that_cannot_be_are_refused_and_change_nothing(shared, body):
    status, answer = shared.client.post("/api/edit", body)
    assert status == 422 and "\n" not in answer["error"]
    assert shared.client.json("/api/session")["revision"] == 0
    status, answer, _ = shared.client.ask("POST", "/api/edit", b"{" * 99999, shared.client.write_headers())
    assert status == 422


def test_an_edit_is_saved_at_once_and_undone(running):
    client = running.client
    before = people(client, 7)
    status, tried = client.post("/api/edit", {"revision": 0, "operation": SWAP, "dry_run": True})
    assert (status, tried["revision"], tried["frames"], tried["rows"]) == (200, 0, [5, 9], 10)
    assert people(client, 7) == before and not Edits(running.tracks).log.entries
    status, done = client.post("/api/edit", {"revision": 0, "operation": SWAP})
    assert (status, done["revision"], done["can_undo"], done["words"]) == (200, 1, 1, "swap A and B in frames 5 to 9")
    assert people(client, 7) == {"A": before["B"], "B": before["A"]}
    (entry,) = Edits(running.tracks).log.entries
    assert (entry.operation, entry.author) == (Swap(5, 9), "ann")
    assert client.json("/api/lanes?buckets=5")["edits"] == [[5, 9, 1]]
    assert client.post("/api/undo", {"revision": 1})[1]["can_redo"] == 1
    assert people(client, 7) == before
    assert client.post("/api/redo", {"revision": 2})[0] == 200
    listed = client.json("/api/log")["entries"]
    assert [(each["action"], each["in_effect"], each["first_frame"]) for each in listed] == [
        ("do", True, 5), ("undo", False, 5), ("redo", False, 5),
    ]  # fmt: skip
    assert client.post("/api/redo", {"revision": 3})[0] == 422


def test_a_suspect_is_decided_by_one_batch(running):
    client = running.client
    card = client.json("/api/suspects/contact:10:14/card")
    swap = {"op": "swap", "first_frame": card["swap"]["first_frame"], "last_frame": card["swap"]["last_frame"]}
    mark = {"op": "mark", "kind": "contact", "first_frame": 10, "last_frame": 14, "state": "fixed"}
    status, done = client.post("/api/edit", {"revision": 0, "operation": {"op": "batch", "operations": [swap, mark]}})
    assert (status, done["frames"]) == (200, [12, 24])
    assert done["words"] == "swap A and B in frames 12 to 24; mark the contact in frames 10 to 14 as fixed"
    states = {each["key"]: each["state"] for each in client.json("/api/suspects")["suspects"]}
    assert states["contact:10:14"] == "fixed" and client.json("/api/session")["open_suspects"] == 2


def test_two_windows_cannot_overwrite_each_other(running):
    client, results = running.client, []

    def edit(first):
        results.append(client.post("/api/edit", {"revision": 0, "operation": {**SWAP, "first_frame": first}})[0])

    threads = [threading.Thread(target=edit, args=(first,)) for first in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [200, 409, 409, 409]
    status, answer = client.post("/api/edit", {"revision": 0, "operation": SWAP})
    assert (status, answer["revision"]) == (409, 1) and "in the meantime" in answer["error"]
    assert client.post("/api/undo", {"revision": 0})[0] == 409 and Edits(running.tracks).revision == 1


def test_an_edit_of_another_process_is_seen(running):
    client = running.client
    before = people(client, 7)
    assert client.json("/api/suspects")["revision"] == 0
    answers = []

    def wait():
        while not answers or not answers[-1]["changed"]:
            answers.append(client.json("/api/events?revision=0"))

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    code = "import sys; from pathlib import Path; from dft.trackio.edits.session import Edits; "
    code += "from dft.trackio.edits.operations import Swap; Edits(Path(sys.argv[1])).do(Swap(5, 9))"
    subprocess.run([sys.executable, "-c", code, str(running.tracks)], check=True)
    waiting.join(60)
    assert answers[-1] == {"revision": 1, "changed": True}
    assert people(client, 7) == {"A": before["B"], "B": before["A"]}
    assert client.post("/api/edit", {"revision": 0, "operation": SWAP})[0] == 409


def test_an_edit_of_another_process_is_not_overwritten_before_it_was_seen(running):
    Edits(running.tracks).do(Swap(5, 9))
    status, answer = running.client.post("/api/edit", {"revision": 0, "operation": SWAP})
    assert (status, answer["revision"]) == (409, 1)
    assert running.client.json("/api/session")["revision"] == 1


def test_a_proposal_is_looked_at_before_it_is_done(running):
    client = running.client
    status, made = client.post("/api/propose", {"track_id": 1, "first_frame": 0, "last_frame": 49})
    assert (status, [row[0] for row in made["rows"]]) == (200, [20])
    wish = {"op": "interpolate", "track_id": 1, "first_frame": 0, "last_frame": 49}
    assert client.post("/api/edit", {"revision": 0, "operation": wish})[1]["frames"] == [20, 20]
    row = client.json("/api/boxes?first=20&last=20")["frames"]["20"][0]
    assert row[3:7] == pytest.approx(made["rows"][0][1:]) and row[7] == "interpolated"
    assert client.post("/api/propose", {"track_id": 99, "first_frame": 0, "last_frame": 49})[0] == 422


def test_crops_follow_the_edits(running):
    client = running.client
    first = crops_of(client, 5, 9)
    client.post("/api/edit", {"revision": 0, "operation": {**SWAP, "first_frame": 0, "last_frame": 24}})
    second = crops_of(client, 5, 9)
    assert (first["revision"], second["revision"]) == (0, 1) and first["left"][0][0] < second["left"][0][0]


def test_sound(start):
    client = start("with sound").client
    assert client.json("/api/session")["video"]["has_audio"]
    status, body, _ = client.get("/api/sound.wav?start=0.5&seconds=0.25")
    with wave.open(io.BytesIO(body)) as file:
        assert (status, file.getnframes() / file.getframerate()) == (200, 0.25)


def test_the_page_and_its_modules_are_served(shared):
    status, body, headers = shared.client.ask("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8") and b"<!doctype html>" in body.lower()
    status, _, headers = shared.client.ask("GET", "/static/main.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")


def ended(running, seconds):
    running.thread.join(seconds)
    return not running.thread.is_alive()


def test_it_ends_when_the_page_is_closed(start):
    running = start(lifetime=Lifetime(goodbye_seconds=0.3))
    assert not ended(running, 1.0), "no page has been there yet"
    running.client.json("/api/session")
    assert running.client.post("/api/goodbye", {}) == (200, {})
    assert ended(running, 15)


def test_it_ends_when_nothing_is_heard_of_the_page(start):
    running = start(lifetime=Lifetime(idle_seconds=0.5))
    running.client.json("/api/session")
    assert ended(running, 15)


def test_another_page_keeps_it_and_a_page_that_has_gone_does_not(start):
    import http.client

    running = start(lifetime=Lifetime(idle_seconds=0.5, goodbye_seconds=0.3))
    client = running.client
    other = http.client.HTTPConnection(client.host, timeout=30)
    other.request("GET", "/api/events?revision=0", headers={"X-Dft-Token": client.token})
    time.sleep(0.3)
    client.post("/api/goodbye", {})
    assert not ended(running, 1.5), "the other page is waiting for changes"
    other.sock.close()
    assert ended(running, 15)


def test_kept_open_it_stays_until_it_is_stopped(start):
    running = start(lifetime=Lifetime(keep_open=True, idle_seconds=0.1, goodbye_seconds=0.1))
    assert running.client.json("/api/session")["keep_open"]
    running.client.post("/api/goodbye", {})
    assert not ended(running, 1.5)


def test_it_stops_at_once_while_a_page_waits_for_changes(running):
    threading.Thread(target=lambda: running.client.get("/api/events?revision=0")).start()
    time.sleep(0.3)
    running.server.stop()
    assert ended(running, 10)
