"""What several use together is closed by the last of them, or kept for the next one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dft.engines import memory
from dft.engines.cuda.shared import Shared, close_unused, keeping_open
from dft.engines.protocols import Closing


class Thing(Closing):
    num_open = 0

    def __init__(self):
        self.closed = False
        Thing.num_open += 1

    def close(self):
        assert not self.closed
        self.closed = True
        Thing.num_open -= 1


@pytest.fixture
def shared():
    return Shared()


def used(shared, key):
    """Acquire and release it."""
    thing = shared.acquire(key, Thing)
    assert not thing.closed
    shared.release(key)
    return thing


def test_the_last_user_closes_it(shared):
    one, other = shared.acquire("a", Thing), shared.acquire("a", Thing)
    assert one is other
    shared.release("a")
    assert not one.closed
    shared.release("a")
    assert one.closed and used(shared, "a") is not one


def test_it_is_kept_for_the_next_user_until_the_end(shared):
    with keeping_open():
        with keeping_open():
            one = used(shared, "a")
        assert not one.closed and used(shared, "a") is one
    assert one.closed and used(shared, "a") is not one


def test_what_is_in_use_at_the_end_is_closed_by_its_user(shared):
    with keeping_open():
        one = shared.acquire("a", Thing)
    assert not one.closed
    shared.release("a")
    assert one.closed


def test_another_one_takes_its_place(shared):
    others = Shared()
    with keeping_open():
        one, elsewhere, busy = used(shared, "a"), used(others, "a"), shared.acquire("b", Thing)
        assert one.closed, "making b closed it, before b took memory"
        one = used(shared, "a")
        assert shared.acquire("b", Thing) is busy
        shared.release("b")
        shared.release("b")
        assert not (one.closed or busy.closed or elsewhere.closed)


@pytest.mark.parametrize("make_room", [close_unused, memory.free])
def test_room_is_made_of_what_nobody_uses(shared, make_room):
    with keeping_open():
        idle, busy = used(shared, "a"), shared.acquire("b", Thing)
        idle = used(shared, "a")
        make_room()
        assert idle.closed and not busy.closed
        shared.release("b")


def test_an_error_in_making_leaves_nothing(shared):
    def fail():
        raise ValueError

    with keeping_open():
        with pytest.raises(ValueError):
            shared.acquire("a", fail)
        assert not used(shared, "a").closed


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.booleans())
def test_nothing_stays_open_and_nothing_is_closed_in_use(steps, keep):
    """Random users come and go."""
    shared, users = Shared(), {key: [] for key in "abc"}
    before = Thing.num_open

    def run():
        for key, comes in steps:
            if comes:
                users[key].append(shared.acquire(key, Thing))
            elif users[key]:
                users[key].pop()
                shared.release(key)
            assert not any(thing.closed for things in users.values() for thing in things)
        for key, things in users.items():
            for _ in things:
                shared.release(key)

    if keep:
        with keeping_open():
            run()
    else:
        run()
    assert Thing.num_open == before
