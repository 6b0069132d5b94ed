"""Settings that are text of a certain form: a size, a colour, a layout.

Each reader takes the text and raises ``ValueError`` where it cannot be.
"""

import re

LAYOUTS = ("side-by-side", "stacked", "separate", "pip", "single")
LAYOUT_FILE = ".toml"
SIZE_MINIMUM, SIZE_MAXIMUM = 64, 8192

# the sixteen names of CSS 1, https://www.w3.org/TR/CSS1/#color-units
COLOURS = {
    "black": "#000000", "silver": "#c0c0c0", "gray": "#808080", "white": "#ffffff", "maroon": "#800000",
    "red": "#ff0000", "purple": "#800080", "fuchsia": "#ff00ff", "green": "#008000", "lime": "#00ff00",
    "olive": "#808000", "yellow": "#ffff00", "navy": "#000080", "blue": "#0000ff", "teal": "#008080",
    "aqua": "#00ffff",
}  # fmt: skip


def read_size(text: str) -> tuple[int, int]:
    """Width and height in pixels, even.

    >>> read_size("1920x1080")
    (1920, 1080)
    """
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text, re.ASCII)
    if found is None:
        raise ValueError("it is not two numbers with an x between them")
    width, height = (int(number) for number in found.groups())
    for number in (width, height):
        if number % 2 or not SIZE_MINIMUM <= number <= SIZE_MAXIMUM:
            raise ValueError(f"{number} is not an even number from {SIZE_MINIMUM} to {SIZE_MAXIMUM}")
    return width, height


def read_colour(text: str) -> tuple[int, int, int]:
    """Red, green and blue in 0..255, as 8-bit sRGB.

    >>> read_colour("#fa0"), read_colour("teal")
    ((255, 170, 0), (0, 128, 128))
    """
    found = re.fullmatch(r"#([0-9a-fA-F]{3}|[0-9a-fA-F]{6})", COLOURS.get(text.lower(), text))
    if found is None:
        raise ValueError("it is no colour")
    digits = found[1] if len(found[1]) == 6 else "".join(2 * digit for digit in found[1])
    red, green, blue = bytes.fromhex(digits)
    return red, green, blue


def read_layout(text: str) -> str:
    """The layout's name, or the path of its file."""
    if text not in LAYOUTS and not text.endswith(LAYOUT_FILE):
        raise ValueError("there is no layout of this name")
    return text
