"""Still crops lie where they cut nobody's head."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.render.camera.framing import Picture
from dft.render.camera.placing import UNCUT, inside_share, placed

PICTURE = Picture(1920, 1080)


def cut(crop, boxes):
    inside = inside_share(np.asarray(crop), np.asarray(boxes))
    return np.minimum(inside, 1 - inside).mean()


def test_a_crop_that_cuts_nobody_stays_exactly():
    crop = np.array([100.3, 0, 1060.3, 1080])
    np.testing.assert_array_equal(placed(crop, PICTURE, np.array([[1200.0, 300, 1400, 600]])), crop)
    np.testing.assert_array_equal(placed(crop, PICTURE, np.zeros((0, 4))), crop)


@pytest.mark.parametrize(("box", "way"), [((1300, 300, 1500, 600), 140), ((300, 300, 600, 600), -100)])
def test_it_moves_just_so_far_that_the_head_is_whole_or_gone(box, way):
    made = placed(np.array([400.0, 0, 1360, 1080]), PICTURE, np.array([box], float))
    assert cut(made, [box]) <= UNCUT + 1e-9
    inside = inside_share(made, np.array(box, float))
    assert inside < 0.05 or inside > 0.95
    assert abs(made[0] - 400) <= abs(way)
    np.testing.assert_allclose(made[2:] - made[:2], (960, 1080))


def test_where_it_shuns_heads_it_shows_none_if_it_can():
    box = np.array([[500.0, 300, 700, 600]])
    crop = np.array([400.0, 0, 1360, 1080])
    np.testing.assert_array_equal(placed(crop, PICTURE, box), crop)
    assert inside_share(placed(crop, PICTURE, box, shun=True), box[0]) < 0.05
    large = np.array([[700.0, 300, 1300, 600]])  # cannot be kept out, and whole is better than a part
    assert inside_share(placed(crop, PICTURE, large, shun=True), large[0]) == 1


def test_in_an_upright_picture_it_moves_up_and_down():
    made = placed(np.array([0.0, 400, 1080, 1360]), Picture(1080, 1920), np.array([[400.0, 1300, 600, 1500]]))
    assert made[0] == 0 and made[1] != 400
    assert cut(made, [[400.0, 1300, 600, 1500]]) <= UNCUT


boxes = st.lists(
    st.tuples(st.floats(0, 1900), st.floats(0, 1000), st.floats(10, 800), st.floats(10, 800)), min_size=1, max_size=6
).map(lambda found: np.array([(x, y, x + width, y + height) for x, y, width, height in found]))


@given(st.floats(0, 1), st.floats(0.1, 1), boxes)
def test_it_stays_in_the_picture_with_its_size_and_never_cuts_more(share, scale, heads):
    size = np.array([960.0, 1080]) * scale
    corner = share * (np.array([1920, 1080]) - size)
    crop = np.concatenate([corner, corner + size])
    made = placed(crop, PICTURE, heads)
    assert (made >= -1e-9).all() and made[2] <= 1920 + 1e-6 and made[3] <= 1080 + 1e-6
    np.testing.assert_allclose(made[2:] - made[:2], size)
    assert cut(made, heads) <= max(cut(crop, heads), UNCUT) + 1e-9
