"""What every compositor must do; what the CPU one does to pixels is in ``tests/engines/test_compose.py``."""

import pytest

from dft.engines.protocols import Bar, Compositor

TILES = [((0.0, 0.0, 320.0, 360.0), 0, 0, 32, 48), ((310.5, 20.25, 630.5, 350.0), 32, 0, 32, 48)]


@pytest.fixture
def compositor(backend):
    with backend.compositor(64, 48) as made:
        yield made


def test_it_is_a_compositor(compositor):
    assert isinstance(compositor, Compositor)


@pytest.mark.parametrize("num_tiles", [0, 1, 2])
@pytest.mark.parametrize("bars", [[], [Bar(30, 0, 4, 48, (255, 255, 255))]])
def test_each_canvas_is_new_and_repeats(compositor, backend, tile, num_tiles, bars):
    image = backend.canvas(640, 360, 120)
    tiles = [*(tile(*t) for t in TILES[:num_tiles]), *bars]
    first = compositor.compose(image, tiles)
    again = compositor.compose(image, tiles)
    assert first is not image and first is not again
    assert backend.content(first) == backend.content(again)


def test_it_leaves_the_image_alone(compositor, backend, tile):
    image = backend.canvas(640, 360, 120)
    before = backend.content(image)
    compositor.compose(image, [*(tile(*t, 0.05) for t in TILES), Bar(0, 0, 64, 2, (200, 0, 0))])
    assert backend.content(image) == before


def test_canvases_that_are_kept_do_not_change(compositor, backend, tile):
    """They wait in a queue while the next ones are made."""
    tiles = [tile(*t) for t in TILES]
    kept, contents = [], []
    for luma in (30, 120, 220):
        kept.append(compositor.compose(backend.canvas(640, 360, luma), tiles))
        contents.append(backend.content(kept[-1]))
    assert [backend.content(canvas) for canvas in kept] == contents
    assert len(set(contents)) == 3


def test_what_it_makes_can_be_encoded(compositor, backend, tile, options, tmp_path):
    with backend.encoder(tmp_path / "out.mp4", options) as encoder:
        for number, luma in enumerate((30, 120)):
            canvas = compositor.compose(backend.canvas(640, 360, luma), [tile(*t) for t in TILES])
            encoder.write(canvas, 40 * number)
        encoder.finish()


def test_it_can_be_closed_twice(backend):
    compositor = backend.compositor(64, 48)
    compositor.close()
    compositor.close()
