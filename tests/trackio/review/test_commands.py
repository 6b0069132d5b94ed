"""The command ``dft review``."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from dft.cli import cli

SRC = str(Path(sys.modules["dft"].__path__[0]).parent)


def run(*words):
    result = CliRunner().invoke(cli, ["review", *map(str, words), "--no-browser"])
    return result.exit_code, str(result.exception)


@pytest.fixture
def pair(media, written, tmp_path):
    """A video and its tracks side by side."""
    video = tmp_path / "in.mp4"
    video.write_bytes(media("closed gop").read_bytes())
    return video, written(video, tmp_path / "in.tracks.parquet")


@pytest.fixture
def begun(pair):
    """The command in a process of its own."""
    started = []

    def begin(*words):
        command = [sys.executable, "-m", "dft", "review", str(pair[0]), "--no-browser", *words]
        environment = {**os.environ, "PYTHONPATH": SRC}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env=environment, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_no_tracks_says_what_to_do(pair):
    pair[1].unlink()
    status, error = run(pair[0])
    assert status == 1 and "there is no track file" in error and "dft analyze" in error


def test_tracks_of_another_video(pair, media):
    status, error = run(media("open gop"), pair[1])
    assert status == 1 and "belongs to another video" in error


def test_no_video(pair):
    pair[0].unlink()
    status, error = run(pair[0])
    assert status == 1 and "there is no video" in error


def test_a_port_that_is_taken(pair):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, error = run(*pair, "--port", port)
    assert status == 1 and f"port {port} cannot be had" in error and "--port" in error


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra(pair, missing):
    code = f"import sys; sys.modules[{missing!r}] = None; from dft.cli import main; main()"
    command = [sys.executable, "-c", code, "review", *map(str, pair), "--no-browser"]
    environment = {**os.environ, "PYTHONPATH": SRC}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (made.returncode, made.stdout) == (1, "")
    assert "dual-face-tracker[review]" in made.stderr and missing in made.stderr


def test_it_prints_the_address_serves_and_ctrl_c_is_130(begun, client_of):
    process = begun("--port", "0", "--author", "ann", "--keep-open")
    client = client_of(process.stdout.readline().strip())
    session = client.json("/api/session")
    assert (session["author"], session["keep_open"], session["video"]["name"]) == ("ann", True, "in.mp4")
    assert client.get("/api/frame/3.jpg")[0] == 200
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "dft: stopped\n")


def test_as_json_with_a_log_and_it_ends_with_the_page(begun, client_of):
    process = begun("--json", "--log-level", "info")
    told = json.loads(process.stdout.readline())
    client = client_of(told["url"])
    assert client.host == f"127.0.0.1:{told['port']}"
    assert client.json("/api/session")["revision"] == 0
    asked = time.monotonic()
    assert client.post("/api/goodbye", {}) == (200, {})
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "") and "the page is closed" in err
    assert time.monotonic() - asked > 2, "a page that is loaded again finds it"
    assert client.token not in err


def test_it_opens_the_browser_unless_told_not_to(pair, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("dft.trackio.review.server.ReviewServer.run", lambda server: server._socket.close())
    result = CliRunner().invoke(cli, ["review", str(pair[0])])
    assert result.exit_code == 0
    for _ in range(200):
        if opened:
            break
        time.sleep(0.05)
    assert opened == [result.stdout.strip()]
    CliRunner().invoke(cli, ["review", str(pair[0]), "--no-browser"])
    assert len(opened) == 1
