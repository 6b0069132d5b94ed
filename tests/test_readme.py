"""The README's commands and code run as they stand."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from dft.cli import cli

README = Path(__file__).parent.parent / "README.md"
RUN = re.compile(r"<!-- run by tests/test_readme.py -->\n```(console|python)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(talk, tmp_path_factory):
    """A folder with interview.mp4, in which the README's examples run in order."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(talk.video, folder / "interview.mp4")
    return folder


def test_every_example_runs_in_order(folder, monkeypatch):
    blocks = RUN.findall(README.read_text(encoding="utf-8"))
    assert [kind for kind, _ in blocks] == ["console", "console", "python"]
    monkeypatch.chdir(folder)
    for line in "".join(text for kind, text in blocks if kind == "console").splitlines():
        prompt, program, *words = shlex.split(line)
        done = CliRunner().invoke(cli, words)
        assert (prompt, program, done.exit_code) == ("$", "dft", 0), f"{line}: {done.output} {done.exception}"
    script = subprocess.run([sys.executable, "-c", blocks[-1][1]], capture_output=True, text=True, check=False)
    assert script.returncode == 0, script.stderr
    for name in ("interview.dft.mp4", "interview.png", "portrait.mp4", "talk.mp4", "tall.mp4", "interview.1.500s.png"):
        assert (folder / name).stat().st_size > 1000


def test_links_point_to_files():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).is_file(), target
