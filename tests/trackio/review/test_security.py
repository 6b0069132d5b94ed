"""Who may talk to the server: a wrong host, origin or token gets nothing, on any route."""

import json
import re

import pytest
from starlette.datastructures import Headers

from dft.trackio.review.lifetime import Lifetime
from dft.trackio.review.security import Secrets, new_token
from dft.trackio.review.server import application

READS = [
    "/api/session", "/api/times", "/api/suspects", "/api/suspects/contact:10:14/card", "/api/lanes",
    "/api/boxes?first=0&last=9", "/api/crops?first=0&last=9", "/api/frame/3.jpg", "/api/crop/3.jpg?box=1,2,30,40",
    "/api/frames?first=0&num=2", "/api/sound.wav", "/api/log", "/api/events?revision=5",
]  # fmt: skip
SWAP = {"op": "swap", "first_frame": 1, "last_frame": 5, "persons": ["A", "B"]}
WRITES = {
    "/api/edit": {"revision": 0, "operation": SWAP}, "/api/undo": {"revision": 0}, "/api/redo": {"revision": 0},
    "/api/propose": {"track_id": 1, "first_frame": 0, "last_frame": 9}, "/api/goodbye": {},
}  # fmt: skip
PUBLIC = ["/", "/static/main.js"]


def shape(path):
    """A route's path with what varies in it left open."""
    return re.sub(r"\{[^}]*\}", "*", re.sub(r"contact:10:14|(?<=/)\d+(?=\.jpg)", "*", path.partition("?")[0]))


def test_every_route_is_tried_here(shared):
    made = application(shared.review, Secrets("h", "t"), Lifetime(), lambda: False)
    known = {shape(route.path) for route in made.routes}
    assert {path for path in known if path.startswith("/api")} == {shape(path) for path in [*READS, *WRITES]}
    assert {path for path in known if not path.startswith("/api")} >= set(PUBLIC)
    assert all(path == "/" or path.startswith(("/static/", "/api/")) for path in known)


@pytest.mark.parametrize("path", [*PUBLIC, *READS])
def test_a_wrong_host_gets_nothing(shared, path):
    client = shared.client
    port = client.host.rpartition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"localhost:{port}",
        f"127.0.0.1:{int(port) - 1}",
        "",
    ):
        status, body, _ = client.ask("GET", path, headers={"Host": host, "X-Dft-Token": client.token})
        assert (status, body) == (421, b""), host


@pytest.mark.parametrize("path", READS)
def test_a_wrong_token_or_none_gets_nothing(shared, path):
    client = shared.client
    wrong = client.token[:-1] + ("0" if client.token[-1] != "0" else "1")
    for token in (None, "", wrong, client.token[:-1], client.token + "0", client.token.upper() + "é"):
        headers = {} if token is None else {"X-Dft-Token": token.encode()}
        assert client.ask("GET", path, headers=headers)[:2] == (403, b""), token
    status, body, _ = client.ask("GET", f"{path}{'&' if '?' in path else '?'}token={client.token}")
    assert (status, body) == (403, b"")


@pytest.mark.parametrize("path", READS)
def test_a_foreign_origin_gets_nothing(shared, path):
    for origin in ("http://evil.example", "null", shared.client.origin.replace("127.0.0.1", "localhost")):
        assert shared.client.get(path, Origin=origin)[:2] == (403, b"")


@pytest.mark.parametrize("path", WRITES)
def test_writes_want_all_that_a_page_sends(shared, path):
    client, body = shared.client, json.dumps(WRITES[path]).encode()
    right = client.write_headers()
    tries = [
        ({**right, "Host": "evil.example"}, 421),
        ({**right, "X-Dft-Token": "0" * 64}, 403),
        ({key: value for key, value in right.items() if key != "X-Dft-Token"}, 403),
        ({**right, "Origin": "http://evil.example"}, 403),
        ({**right, "Origin": "null"}, 403),
        ({key: value for key, value in right.items() if key != "Origin"}, 403),
        ({**right, "Content-Type": "text/plain"}, 415),
        ({**right, "Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({key: value for key, value in right.items() if key != "Content-Type"}, 415),
        ({**right, "Content-Length": str(2 << 20)}, 413),
    ]
    for headers, wanted in tries:
        assert client.ask("POST", path, body, headers)[:2] == (wanted, b""), headers
    assert client.json("/api/session")["revision"] == 0
    assert not shared.tracks.with_suffix(".edits.jsonl").exists()
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT"):
        assert client.ask(method, path, headers=right)[:2] == (405, b"")
    assert client.get(path)[0] == 405


def test_a_body_without_a_length_is_refused(shared):
    client = shared.client
    status, body, _ = client.ask("POST", "/api/edit", iter([b"{}"]), client.write_headers())
    assert (status, body) == (411, b"")


@pytest.mark.parametrize("path", [*PUBLIC, "/api/session", "/api/nothing", "/api/frame/3.jpg"])
def test_every_answer_says_what_browsers_must_heed(shared, path):
    _, _, headers = shared.client.get(path)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    assert headers["Cache-Control"] == "no-store" and headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in headers and "Server" not in headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd",
        "/static/", "/static", "/server.py", "/static/main.js/", "//static/main.js", "/static/%2fetc%2fpasswd",
    ],
)  # fmt: skip
def test_no_path_from_outside_becomes_a_file(shared, path):
    status, body, _ = shared.client.get(path)
    assert status == 404 and b"import" not in body and b"root:" not in body


def test_paths_that_only_look_public_want_the_token(shared):
    for path in ("/api", "//api/session", "/API/session", "/x/static/main.js", "/anything"):
        assert shared.client.ask("GET", path)[:2] == (403, b"")


def test_two_headers_of_a_kind_are_refused():
    secrets = Secrets("127.0.0.1:80", "t" * 64)
    right = [(b"host", b"127.0.0.1:80"), (b"x-dft-token", b"t" * 64)]
    assert secrets.refusal("GET", "/api/session", Headers(raw=right)) is None
    assert secrets.refusal("GET", "/api/session", Headers(raw=[*right, right[0]])) == 421
    assert secrets.refusal("GET", "/api/session", Headers(raw=[*right, right[1]])) == 403
    origins = [(b"origin", b"http://127.0.0.1:80")] * 2
    assert secrets.refusal("GET", "/api/session", Headers(raw=[*right, *origins])) == 403


def test_the_server_listens_on_this_machine_only(shared):
    assert shared.server._socket.family.name == "AF_INET" and shared.client.host.startswith("127.0.0.1:")


def test_tokens_have_256_bits_and_differ():
    made = {new_token() for _ in range(100)}
    assert len(made) == 100 and all(re.fullmatch("[0-9a-f]{64}", token) for token in made)
