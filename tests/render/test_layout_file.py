"""Layout files: what they may say, what is refused, and the example in the documentation."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import SettingError
from dft.configs.rendering import OutputSettings
from dft.render.layout import TileArea
from dft.render.layout_file import FILE_KEYS, SHOWN, TILE_KEYS, read_layout_file
from dft.render.presets import layout_of

ROOT = Path(__file__).resolve().parents[2]
HEAD = "width = 1280\nheight = 720\n"
LEFT = '[[tile]]\nshow = "left"\nx = 0\ny = 0\nwidth = 0.5\nheight = 1\n'
RIGHT = '[[tile]]\nshow = "B"\nx = 0.5\ny = 0\nwidth = 0.5\nheight = 1\n'


@pytest.fixture
def write(tmp_path):
    def make(text):
        path = tmp_path / "talk.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_tiles_and_canvas_are_read(write):
    layout = read_layout_file(write('background = "#102030"\n' + HEAD + LEFT + RIGHT))
    assert (layout.canvas.width, layout.canvas.height, layout.canvas.background) == (1280, 720, (16, 32, 48))
    assert layout.areas == (TileArea("left", 0, 0, 640, 720), TileArea("B", 640, 0, 640, 720))


def test_size_background_and_divider_of_the_settings_win(write):
    path = write('background = "#102030"\n' + HEAD + LEFT + RIGHT)
    layout = layout_of(OutputSettings(layout=str(path), size="640x360", background="white", divider=4))
    assert (layout.canvas.width, layout.canvas.height, layout.canvas.background) == (640, 360, (255, 255, 255))
    assert [(area.x, area.width) for area in layout.areas] == [(0, 318), (322, 318)]
    assert len(layout.dividers) == 1


def test_with_a_size_given_the_file_needs_none(write):
    assert read_layout_file(write(LEFT), "640x360").canvas.width == 640


@given(st.integers(2, 12), st.integers(160, 2000).map(lambda n: 2 * n))
def test_a_row_of_equal_tiles_meets_without_a_gap(tmp_path_factory, parts, width):
    tiles = "".join(
        f'[[tile]]\nshow = "A"\nx = {part / parts}\ny = 0\nwidth = {1 / parts}\nheight = 1\n' for part in range(parts)
    )
    path = tmp_path_factory.mktemp("row") / "row.toml"
    path.write_text(f"width = {width}\nheight = 100\n{tiles}", encoding="utf-8")
    areas = read_layout_file(path).areas
    assert areas[0].x == 0 and areas[-1].right == width
    assert all(area.right == following.x for area, following in pairwise(areas))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD, ["tile", "nothing", "[[tile]]"]),
        (HEAD + "tile = 3\n", ["tile", "3"]),
        (HEAD + LEFT + "z = 1\n", ["tile 1: z", "unknown key", "show"]),
        ("colour = 1\n" + HEAD + LEFT, ["colour", "unknown key", "background"]),
        (LEFT, ["width", "nothing", "even number"]),
        (HEAD.replace("1280", "1281") + LEFT, ["width", "1281"]),
        (HEAD.replace("1280", "true") + LEFT, ["width", "True"]),
        (HEAD.replace("720", "16") + LEFT, ["height", "16"]),
        ("background = 'sky'\n" + HEAD + LEFT, ["background", "sky"]),
        (HEAD + LEFT + RIGHT.replace('"B"', '"E"'), ["tile 2: show", "'E'", "wide"]),
        (HEAD + LEFT.replace('show = "left"\n', ""), ["tile 1: show", "nothing"]),
        (HEAD + LEFT.replace("x = 0", "x = -0.1"), ["tile 1: x", "-0.1"]),
        (HEAD + LEFT.replace("x = 0", "x = nan"), ["tile 1: x", "nan"]),
        (HEAD + LEFT.replace("y = 0", 'y = "top"'), ["tile 1: y", "top"]),
        (HEAD + LEFT + RIGHT.replace("width = 0.5", "width = 0.6"), ["tile 2: width", "0.6", "0.5"]),
        (HEAD + LEFT.replace("height = 1", "height = 0.01"), ["tile 1: height", "8 pixels", "16"]),
        (HEAD + LEFT.replace('"left"', '"wide"'), ["show", "wide"]),
        ("width = = 3", ["not TOML"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_file_and_key(write, text, words):
    path = write(text)
    with pytest.raises(SettingError) as caught:
        read_layout_file(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(SettingError, match=r"gone\.toml"):
        layout_of(OutputSettings(layout=str(tmp_path / "gone.toml")))


def test_the_documented_examples_can_be_used_and_every_key_is_documented(write):
    page = (ROOT / "docs" / "layouts.md").read_text(encoding="utf-8")
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        assert read_layout_file(write(example)).areas
    for key in (*TILE_KEYS, *FILE_KEYS, *SHOWN):
        assert f"`{key}`" in page
