import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.analyze.identity.chains import Chain
from dft.analyze.identity.named import NEAR_SECONDS, NamedPlace, find_named, parse_places
from dft.configs.errors import SettingError

SIZE = (640, 360)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  ", []),
        ("480,300@2.5", [(480, 300, 2.5)]),
        ("480.5,300@2", [(480.5, 300, 2)]),
        ("0.25,0.3@00:00:02.500", [(0.25, 0.3, 2.5)]),
        ("1,2@1:02", [(1, 2, 62)]),
        ("1,2@01:02:03.004", [(1, 2, 3723.004)]),
        ("0,0@0", [(0, 0, 0)]),
        (" 1,2@3   4,5@6\n7,8@9 ", [(1, 2, 3), (4, 5, 6), (7, 8, 9)]),
    ],
    ids=str,
)
def test_places_are_read(text, expected):
    assert parse_places(text) == [NamedPlace(*place) for place in expected]


@pytest.mark.parametrize(
    "text",
    [
        "480,300", "480@2", "480,300,2", "480,300@", "@2", ",300@2", "480,@2", "a,b@2", "480,300@two", "480, 300@2",
        "1,2@3@4", "1,2,3@4", "-1,2@3", "1,-2@3", "1,2@-3", "nan,2@3", "1,inf@3", "1,2@nan", "1,2@inf", "1,2@1:2:3:4",
        "1;2@3", "1,2@3,4,5@6", "1,2@" + "9" * 400,
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "1,2@3 "], ids=["alone", "second"])
def test_what_is_no_place(text, before):
    with pytest.raises(SettingError) as caught:
        parse_places(before + text)
    message = str(caught.value)
    assert "\n" not in message and "x,y@time" in message and "change --main" in message


def test_what_is_wrong_is_named():
    with pytest.raises(SettingError, match=r"setting main cannot be '4,5'; expected x,y@time such as .*"):
        parse_places("1,2@3 4,5")


@given(st.text(max_size=30))
def test_any_other_text_is_refused_in_words(text):
    try:
        places = parse_places(text)
    except SettingError:
        return
    assert len(places) == len(text.split())


@pytest.fixture(scope="module")
def talk(tracklet, chain):
    """A left and B right for 4 s; from 6 s on B is left, in a chain of two tracklets."""
    return [
        chain(range(100), 160.0),
        chain(range(100), 480.0),
        Chain((tracklet(range(150, 200), 160.0), tracklet(range(210, 250), 170.0))),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, []),
        ("", []),
        ("160,150@1", [0]),
        ("480,150@1", [1]),
        ("480,150@1 160,150@1", [1, 0]),
        ("0.25,0.4166@1", [0]),
        ("0.75,0.4166@1", [1]),
        ("0.75,0.4166@00:00:01.000", [1]),
        pytest.param("250,150@1", [0], id="nearest, within a face height"),
        pytest.param("390,150@1", [1], id="nearest of two"),
        pytest.param("160,150@7", [2], id="later somebody else is there"),
        pytest.param("160,150@9.5", [2], id="the second tracklet of a chain"),
        pytest.param("160,150@8.2", [2], id="between its tracklets"),
        pytest.param("160,150@4.4", [0], id="shortly after the end"),
        pytest.param("160,150@5.6", [2], id="shortly before the start"),
        pytest.param("160,150@1 165,155@2", [0, 0], id="the same twice"),
    ],
)
def test_the_nearest_chain_is_named(talk, text, expected):
    assert find_named(text, talk, SIZE, 2) == expected


def test_only_where_both_are_below_one_a_place_is_a_share(chain):
    corner = [chain(range(50), 0.5, y=150.0), chain(range(50), 320.0, y=150.0)]
    assert find_named("0.5,150@1", corner, SIZE, 2) == [0]
    assert find_named("0.5,0.4166@1", corner, SIZE, 2) == [1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("160,150@5", "no face then", id="nobody at that time"),
        pytest.param(f"160,150@{10 + NEAR_SECONDS}", "no face then", id="long after the end"),
        pytest.param("320,150@1", r"the nearest face 1\.6 face heights away", id="between the two"),
        pytest.param("160,300@1", r"the nearest face 1\.5 face heights away", id="below"),
        pytest.param("5000,150@1", r"the nearest face 45\.2 face heights away", id="outside the frame"),
    ],
)
def test_nobody_is_there(talk, text, why):
    with pytest.raises(SettingError, match=rf"setting main: nobody is at .*; got {why}; expected a face.*") as caught:
        find_named(text, talk, SIZE, 2)
    assert "\n" not in str(caught.value)


def test_the_message_says_pixels_and_time(talk):
    with pytest.raises(SettingError, match=r"nobody is at 320,180 at 00:00:01\.500"):
        find_named("0.5,0.5@1.5", talk, SIZE, 2)


def test_nobody_at_all():
    assert find_named(None, [], SIZE, 2) == []
    with pytest.raises(SettingError, match="no face then"):
        find_named("160,150@1", [], SIZE, 2)


@pytest.mark.parametrize("people", [1, 2])
def test_too_many(talk, people):
    text = " ".join(["160,150@1"] * (people + 1))
    with pytest.raises(SettingError, match=rf"names too many; got {people + 1} places; expected at most {people}; .*"):
        find_named(text, talk, SIZE, people)
    assert find_named(text, talk, SIZE, people + 1) == [0] * (people + 1)


@given(st.floats(60, 580), st.floats(0, 3.9))
def test_whoever_is_named_is_the_nearest(chain, x, seconds):
    chains = [chain(range(100), place) for place in (100.0, 260.0, 380.0, 540.0)]
    (found,) = find_named(f"{x:.3f},150@{seconds:.3f}", chains, SIZE, 1)
    off = [abs(chain.place[0] - x) for chain in chains]
    assert off[found] == pytest.approx(min(off), abs=0.01)
