"""Sizes, colours, layouts and overrides as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.errors import SettingError
from dft.configs.forms import COLOURS, LAYOUTS, read_colour, read_layout, read_size
from dft.configs.rendering import OVERRIDABLE, SUBJECTS, RenderSettings, read_overrides
from dft.configs.settings import all_settings, build

even = st.integers(32, 4096).map(lambda n: 2 * n)
levels = st.integers(0, 255)


@given(even, even)
def test_sizes(width, height):
    assert read_size(f"{width}x{height}") == (width, height)


@pytest.mark.parametrize("text", ["", "1920", "1920x", "x1080", "1921x1080", "62x64", "8194x64", "1920X1080", "-64x64"])
def test_no_sizes(text):
    with pytest.raises(ValueError, match=r"number"):
        read_size(text)


@given(levels, levels, levels)
def test_colours(red, green, blue):
    assert read_colour(f"#{red:02x}{green:02X}{blue:02x}") == (red, green, blue)


@given(st.text("0123456789abcdefABCDEF", min_size=3, max_size=3))
def test_short_colours_are_long_ones(digits):
    assert read_colour(f"#{digits}") == read_colour("#" + "".join(2 * digit for digit in digits))


def test_names_of_colours():
    assert {name: read_colour(name.upper()) for name in COLOURS}["white"] == (255, 255, 255)


@pytest.mark.parametrize("text", ["", "#", "fff", "ffffff", "#ffff", "#ggg", "sky", "#fff\n", "#12345é"])
def test_no_colours(text):
    with pytest.raises(ValueError, match="colour"):
        read_colour(text)


def test_layouts():
    for text in (*LAYOUTS, "talk.toml", "/a/b.toml"):
        assert read_layout(text) == text
    with pytest.raises(ValueError, match="layout"):
        read_layout("mosaic")


@given(st.dictionaries(st.sampled_from(SUBJECTS), st.floats(0.2, 5), min_size=1))
def test_overrides(zooms):
    text = "  ".join(f"{name}:zoom={zoom!r}" for name, zoom in zooms.items())
    assert read_overrides(text) == {name: {"zoom": zoom} for name, zoom in zooms.items()}


def test_every_setting_that_may_be_overridden_is_one():
    assert set(OVERRIDABLE) <= set(all_settings(RenderSettings))
    assert read_overrides("B:still_zone=1,smooth_seconds=2,absent=blur") == {
        "B": {"still_zone": 1.0, "smooth_seconds": 2.0, "absent": "blur"}
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("E:zoom=1", ["'E'", "left"]),
        ("A", ["''", "zoom"]),
        ("A:size=3", ["'size'", "zoom"]),
        ("A:zoom", ["zoom", "''", "0.2 to 5"]),
        ("A:zoom=big", ["'big'"]),
        ("A:zoom=9", ["'9'", "0.2 to 5"]),
        ("A:zoom=nan", ["'nan'"]),
        ("A:absent=gone", ["'gone'", "collapse"]),
        ("A:zoom=1,", ["''"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text, words):
    with pytest.raises(SettingError) as caught:
        build(RenderSettings, {"override": text})
    message = str(caught.value)
    assert message.startswith("setting override cannot be") and "\n" not in message
    for word in (*words, "such as", "--override"):
        assert word in message


@pytest.mark.parametrize(
    ("name", "value", "example"),
    [("size", "10x10", "1280x720"), ("background", "sky", "teal"), ("layout", "mosaic", "talk.toml")],
)
def test_a_setting_of_a_form_says_what_it_wants(name, value, example):
    with pytest.raises(SettingError) as caught:
        build(RenderSettings, {name: value})
    assert repr(value) in str(caught.value) and f"such as {example}" in str(caught.value)


@pytest.mark.parametrize("name", [name for name, item in all_settings(RenderSettings).items() if item.read])
def test_examples_are_allowed(name):
    item = all_settings(RenderSettings)[name]
    example = item.example.strip('"')
    assert item.check(example) == example
