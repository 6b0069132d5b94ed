"""The README's commands and code run as they stand."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
RUN = re.compile(r"<!-- run by tests/test_readme.py -->\n```(console|python)\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def folder(talk, tmp_path_factory):
    """A folder with interview.mp4, in which the README's examples run in order."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(talk.video, folder / "interview.mp4")
    return folder


def test_every_example_runs_in_order(folder):
    blocks = RUN.findall(README.read_text(encoding="utf-8"))
    assert [kind for kind, _ in blocks] == ["console", "console", "python"]
    for kind, text in blocks:
        commands = (
            [[sys.executable, "-c", text]]
            if kind == "python"
            else [[sys.executable, "-m", *shlex.split(line[2:])] for line in text.splitlines()]
        )
        for command in commands:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}: {done.stderr}"
    for name in ("interview.dft.mp4", "interview.png", "portrait.mp4", "talk.mp4", "tall.mp4", "interview.1.500s.png"):
        assert (folder / name).stat().st_size > 1000


def test_links_point_to_files():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).is_file(), target
