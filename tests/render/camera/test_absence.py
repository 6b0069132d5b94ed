"""What a tile does while somebody is absent: when, and by whose leave."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.configs.rendering import ABSENT_MODES
from dft.render.camera.absence import (
    BLACK,
    BLUR,
    COLLAPSE,
    HOLD,
    PRESENT,
    TOGETHER,
    WIDE,
    Absence,
    Presence,
    Timeline,
    absence_notes,
    absences,
    presence,
    runs,
    switches,
    together,
)
from dft.render.camera.faces import NOBODY, FaceTrack

FPS = 25
masks = st.lists(st.booleans(), min_size=1, max_size=60).map(lambda values: np.array(values, bool))


def track(seen):
    """A face at one place in the frames that are ``seen``."""
    seen = np.asarray(seen, bool)
    column = np.where(seen, 100.0, np.nan)
    return FaceTrack(column, column, column, column, np.where(seen, 0, NOBODY).astype(np.int8))


def timeline(num_frames, cuts=()):
    return Timeline(np.arange(num_frames) / FPS, np.array([0, *cuts], np.int64))


def seen_but(num_frames, *spans):
    seen = np.ones(num_frames, bool)
    for first, end in spans:
        seen[first:end] = False
    return seen


@given(masks)
def test_runs_are_the_mask(mask):
    made = np.zeros(len(mask), bool)
    for first, end in runs(mask):
        assert first < end and mask[first:end].all()
        assert (first == 0 or not mask[first - 1]) and (end == len(mask) or not mask[end])
        made[first:end] = True
    np.testing.assert_array_equal(made, mask)


@pytest.mark.parametrize(("frames", "mode"), [(49, HOLD), (50, WIDE)])
def test_only_absences_of_two_seconds_are_shown(frames, mode):
    made = presence(track(seen_but(200, (60, 60 + frames))), "wide", timeline(200), 2.0)
    assert set(made.modes[60 : 60 + frames]) == {mode}
    assert set(made.modes[:60]) | set(made.modes[60 + frames :]) == {PRESENT}
    assert made.away.any() == (mode == WIDE)


@pytest.mark.parametrize("span", [(0, 50), (150, 200)])
def test_absence_at_the_video_s_ends_counts_whole(span):
    made = presence(track(seen_but(200, span)), "blur", timeline(200), 2.0)
    assert (made.modes[slice(*span)] == BLUR).all()


def test_who_is_never_seen_is_absent_throughout():
    made = presence(None, "black", timeline(60), 2.0)
    assert (made.modes == BLACK).all() and made.away.all()


@pytest.mark.parametrize(
    ("span", "cuts", "shown"),
    [
        ((90, 180), (100,), (100, 180)),  # begins 0.4 s before a cut
        ((80, 180), (100,), (80, 180)),  # 0.8 s before it
        ((100, 180), (170,), (100, 170)),  # ends 0.4 s after a cut
        ((100, 200), (190,), (100, 200)),  # lasts to the end: nobody comes back in that shot
        ((100, 180), (100, 110), (100, 180)),  # a short shot that shows nobody is no fault
        ((100, 180), (100, 175, 180), (100, 180)),  # nor at the end
    ],
)
def test_a_switch_close_to_a_cut_is_made_there(span, cuts, shown):
    made = presence(track(seen_but(200, span)), "wide", timeline(200, cuts), 2.0)
    assert runs(made.modes == WIDE) == [shown]
    np.testing.assert_array_equal(made.modes != PRESENT, ~seen_but(200, span))


def two(left, right, num_frames=100):
    """Presences of two people, absent in the given (first, end, mode) spans."""
    made = []
    for spans in (left, right):
        modes = np.full(num_frames, PRESENT, np.int8)
        for first, end, mode in spans:
            modes[first:end] = mode
        made.append(Presence(modes, modes != PRESENT))
    return together(made, ["left", "right"])


def test_who_is_there_gets_the_canvas_of_who_collapses():
    (left, right), alone = two([(10, 20, COLLAPSE)], [(40, 60, COLLAPSE)])
    assert runs(alone == 1) == [(10, 20)] and runs(alone == 0) == [(40, 60)]
    assert runs(left == COLLAPSE) == [(10, 20)] and runs(right == COLLAPSE) == [(40, 60)]


def test_where_both_go_at_once_both_hold():
    (left, right), alone = two([(10, 20, COLLAPSE)], [(10, 20, COLLAPSE)])
    assert (alone == TOGETHER).all()
    assert runs(left == HOLD) == runs(right == HOLD) == [(10, 20)]


def test_where_the_second_goes_too_the_canvas_stays_as_it_was():
    (left, right), alone = two([(10, 40, COLLAPSE)], [(30, 60, COLLAPSE)])
    assert runs(alone == 1) == [(10, 40)] and runs(alone == 0) == [(40, 60)]
    assert runs(left == COLLAPSE) == [(10, 40)]
    assert runs(right == HOLD) == [(30, 40)] and runs(right == COLLAPSE) == [(40, 60)]


def test_another_mode_keeps_its_say():
    (left, right), alone = two([(10, 40, COLLAPSE)], [(20, 60, BLUR)])
    assert runs(alone == 1) == [(10, 40)]
    assert runs(right == BLUR) == [(20, 60)]
    assert (left[10:40] == COLLAPSE).all()


def test_with_one_tile_collapse_holds():
    modes = np.array([PRESENT, COLLAPSE, COLLAPSE, PRESENT], np.int8)
    (made,), alone = together([Presence(modes, modes != PRESENT)], ["A"])
    assert made.tolist() == [PRESENT, HOLD, HOLD, PRESENT] and (alone == TOGETHER).all()


def test_of_three_the_others_stay_until_one_is_left():
    def away(first, end):
        modes = np.full(50, PRESENT, np.int8)
        modes[first:end] = COLLAPSE
        return Presence(modes, modes != PRESENT)

    made, alone = together([away(10, 30), away(20, 40), away(0, 0)], ["A", "B", "C"])
    assert runs(alone == 2) == [(20, 30)] and runs(alone == TOGETHER) == [(0, 20), (30, 50)]
    assert runs(made[0] == COLLAPSE) == [(10, 30)]


@st.composite
def presences(draw):
    num_frames = draw(st.integers(1, 200))
    cuts = draw(st.sets(st.integers(1, num_frames), max_size=3).map(lambda found: sorted(found - {num_frames})))
    line = timeline(num_frames, cuts)
    made = []
    for _ in range(draw(st.integers(1, 3))):
        spans = draw(st.lists(st.tuples(st.integers(0, num_frames), st.integers(1, 100)), max_size=3))
        seen = seen_but(num_frames, *((first, first + length) for first, length in spans))
        face = track(seen) if seen.any() else None
        made.append((seen, presence(face, draw(st.sampled_from(ABSENT_MODES)), line, draw(st.floats(0, 3)))))
    return line, [seen for seen, _ in made], [own for _, own in made]


@given(presences())
def test_exactly_one_treatment_per_frame_and_side(drawn):
    line, seen, own = drawn
    names = ["left", "right", "A"][: len(own)]
    modes, alone = together(own, names)
    for mask, made in zip(seen, modes, strict=True):
        np.testing.assert_array_equal(made == PRESENT, mask)
        found = absences("left", made, line)
        counted = np.zeros(len(line), int)
        for absence in found:
            frames = slice(absence.first_frame, absence.last_frame + 1)
            counted[frames] += 1
            assert (made[frames] == ABSENT_MODES.index(absence.mode)).all()
        np.testing.assert_array_equal(counted, ~mask)
        assert sum(absence.seconds for absence in found) <= len(line) / FPS + 1e-9
    for number in range(len(own)):
        assert (modes[number][alone == number] != COLLAPSE).all()
    left = [number for number in range(len(own)) if not own[number].away.all()]
    assert set(alone.tolist()) <= {TOGETHER, *left}


@given(presences())
def test_pieces_are_the_frames_of_a_mode_within_shots(drawn):
    line, _, own = drawn
    mask = own[0].modes != PRESENT
    covered = np.zeros(len(line), int)
    for piece in line.pieces(mask):
        covered[piece] += 1
        shot = line.shot(piece.start)
        assert shot.start <= piece.start < piece.stop <= shot.stop
    np.testing.assert_array_equal(covered, mask)


def test_cameras_cut_at_both_ends_of_every_mode_but_to_hold():
    modes = np.array([PRESENT, HOLD, PRESENT, WIDE, WIDE, PRESENT, BLUR, BLACK], np.int8)
    assert switches(modes).tolist() == [3, 5, 6, 7]


def test_notes_say_how_long_who_was_absent_and_how():
    modes = np.full(300, PRESENT, np.int8)
    modes[10:60], modes[100:175], modes[200:210] = WIDE, WIDE, HOLD
    found = absences("right", modes, timeline(300))
    assert absence_notes(found) == [
        "right: absent for 5.0 s in 2 spans, wide",
        "right: absent for 0.4 s in 1 span, hold",
    ]


def test_a_frame_that_is_held_is_not_told():
    assert absence_notes([Absence("left", 3, 3, "hold", 0.04)]) == []
    assert len(absence_notes([Absence("left", 3, 3, "hold", 0.04)] * 2)) == 1
