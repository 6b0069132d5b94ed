"""Numbering pictures by their time stamps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dft.engines.numbering import Numbering
from dft.engines.protocols import FrameIndex

STAMPS = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(sorted)


def index_of(stamps, seekable=True, packet_pts=None):
    carried = None if packet_pts is None else np.array(packet_pts, np.int64)
    return FrameIndex(
        np.array(stamps, np.int64), np.ones(len(stamps), bool), stamps[-1] + 1, seekable, packet_pts=carried
    )


@given(stamps=STAMPS, data=st.data())
def test_the_frames_of_a_run_get_their_numbers(stamps, data):
    """From any frame on; where several frames have one time, a run begins with the first of them."""
    first = stamps.index(stamps[data.draw(st.integers(0, len(stamps) - 1))])
    numbering = Numbering(index_of(stamps))
    assert [numbering.of(pts) for pts in stamps[first:]] == list(range(first, len(stamps)))
    assert numbering.of(stamps[-1]) is None


@given(stamps=STAMPS, pictures=st.lists(st.one_of(st.none(), st.integers(-5, 45)), max_size=40))
def test_what_is_no_frame_or_out_of_order_gets_none(stamps, pictures):
    numbering, after = Numbering(index_of(stamps)), -1
    for pts in pictures:
        wanted = next((i for i in range(after + 1, len(stamps)) if stamps[i] == pts), None)
        assert numbering.of(pts) == wanted
        after = after if wanted is None else wanted


def test_without_usable_stamps_pictures_are_counted():
    numbering = Numbering(index_of([0, 1, 2], seekable=False))
    assert [numbering.of(pts) for pts in (7, None, 0, 1)] == [0, 1, 2, None]


@given(carried=st.permutations(range(12)), first=st.integers(0, 11), lost=st.sets(st.integers(0, 11)))
def test_stamps_that_are_no_times_number_pictures_all_the_same(carried, first, lost):
    """From any frame on, whatever is missing; what comes again or is no frame gets none."""
    numbering = Numbering(index_of(list(range(12)), packet_pts=carried))
    run = [number for number in range(first, 12) if number not in lost]
    assert [numbering.of(carried[number]) for number in run] == run
    assert [numbering.of(pts) for pts in (-1, 12, None, *(carried[number] for number in run))] == [None] * (
        3 + len(run)
    )
