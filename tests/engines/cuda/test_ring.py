"""The life of a slot, on streams that run as late and as unfairly as events allow."""

import gc

import numpy as np
import pytest

from dft.configs.errors import EngineError
from dft.engines.cuda.counters import count_to_device, count_to_host, reset, transfers
from dft.engines.cuda.ring import Ring
from dft.engines.protocols import Colour

BT709 = Colour(1, 1, 1)


def filled(ring, stream, value):
    def enqueue(slot):
        stream.enqueue(lambda: (slot.y.fill(value), slot.uv.fill(value)))

    return ring.fill(stream, enqueue, BT709)


def test_an_image_has_the_ring_s_form(cupy):
    for depth, dtype in ((8, np.uint8), (10, np.uint16)):
        image = filled(Ring(98, 63, depth), cupy.cuda.Stream(), 3)
        assert (image.y.shape, image.uv.shape) == ((63, 98), (32, 49, 2))
        assert (image.y.dtype, image.depth, image.width, image.height) == (dtype, depth, 98, 63)
        assert image.uv.data.ptr == image.y.data.ptr + image.y.nbytes


@pytest.mark.parametrize(("rotation", "displayed"), [(0, (96, 64)), (90, (64, 96)), (180, (96, 64)), (270, (64, 96))])
def test_rotation_is_told_not_applied(cupy, rotation, displayed):
    stream = cupy.cuda.Stream()
    image = Ring(96, 64).fill(stream, lambda slot: None, BT709, rotation)
    assert (image.width, image.height) == (96, 64)
    assert (image.display_width, image.display_height) == displayed


def test_memory_is_used_again_when_the_image_is_dropped(cupy):
    ring, stream = Ring(16, 16), cupy.cuda.Stream()
    for value in range(10):
        image = filled(ring, stream, value)
        del image
    assert ring.num_slots == 1
    held = [filled(ring, stream, value) for value in range(3)]
    assert ring.num_slots == 3
    stream.synchronize()
    assert [int(image.y[0, 0]) for image in held] == [0, 1, 2]


def test_a_reader_waits_for_the_writer(cupy, planes):
    image = filled(Ring(16, 16), cupy.cuda.Stream(), 7)
    assert planes(image)[0][0, 0] == 7  # nobody waited for the writer's stream


def test_a_slot_is_not_written_before_its_readers_are_through(cupy):
    """The reader's work is still to be done when the image is dropped and its slot filled again."""
    ring, producer, consumer, seen = Ring(16, 16), cupy.cuda.Stream(), cupy.cuda.Stream(), []
    for value in range(5):
        image = filled(ring, producer, value)
        with image.reading(consumer):
            luma = image.y
            consumer.enqueue(lambda luma=luma: seen.append(int(luma[0, 0])))
        del image, luma
    producer.synchronize()  # everything that it may do without the consumer, it does
    consumer.synchronize()
    assert (seen, ring.num_slots) == ([0, 1, 2, 3, 4], 1)


def test_readers_events_are_used_again(cupy, monkeypatch):
    """One for the slot and one for each reader of it, however many pictures there are."""
    real, made = cupy.cuda.Event, []

    def counted(**options):
        made.append(real(**options))
        return made[-1]

    monkeypatch.setattr(cupy.cuda, "Event", counted)
    ring, producer, seen = Ring(16, 16), cupy.cuda.Stream(), []
    readers = [cupy.cuda.Stream() for _ in range(2)]
    for value in range(20):
        image = filled(ring, producer, value)
        for reader in readers:
            with image.reading(reader):
                reader.enqueue(lambda luma=image.y: seen.append(int(luma[0, 0])))
        del image
    for stream in (producer, *readers):
        stream.synchronize()
    assert (len(made), seen) == (3, [value for value in range(20) for _ in readers])


def test_a_reader_that_fails_is_waited_for(cupy):
    ring, producer, reader, seen = Ring(16, 16), cupy.cuda.Stream(), cupy.cuda.Stream(), []
    image = filled(ring, producer, 4)
    with pytest.raises(KeyError, match="mine"), image.reading(reader):
        reader.enqueue(lambda luma=image.y: seen.append(int(luma[0, 0])))
        raise KeyError("mine")
    del image
    held = filled(ring, producer, 5)
    producer.synchronize()
    assert seen == [4] and int(held.y[0, 0]) == 5


def test_several_readers_are_all_waited_for(cupy):
    ring, producer, seen = Ring(16, 16), cupy.cuda.Stream(), []
    readers = [cupy.cuda.Stream() for _ in range(3)]
    image = filled(ring, producer, 1)
    for reader in readers:
        with image.reading(reader):
            reader.enqueue(lambda luma=image.y: seen.append(int(luma[0, 0])))
    del image
    held = filled(ring, producer, 2)
    producer.synchronize()
    assert seen == [1, 1, 1] and int(held.y[0, 0]) == 2


def test_images_outlive_their_ring(cupy):
    ring, stream = Ring(16, 16), cupy.cuda.Stream()
    image = filled(ring, stream, 9)
    before = cupy.cuda.Memory.num_alive
    del ring
    gc.collect()
    stream.synchronize()
    assert int(image.y[0, 0]) == 9 and cupy.cuda.Memory.num_alive == before
    del image
    gc.collect()
    assert cupy.cuda.Memory.num_alive == before - 1


def test_too_many_held_images_are_refused_with_what_to_do(cupy):
    ring, stream = Ring(16, 16, max_slots=2), cupy.cuda.Stream()
    held = [filled(ring, stream, value) for value in range(2)]
    with pytest.raises(EngineError, match=r"2 pictures are held .* expected at most 2: drop images"):
        filled(ring, stream, 2)
    held.pop()
    assert filled(ring, stream, 3) is not None


def test_what_nobody_holds_can_be_freed(cupy):
    ring, stream = Ring(16, 16, max_slots=3), cupy.cuda.Stream()
    held = [filled(ring, stream, value) for value in range(3)]
    stream.synchronize()
    gc.collect()
    before = cupy.cuda.Memory.num_alive
    del held[1:]
    ring.trim()
    gc.collect()
    assert (ring.num_slots, cupy.cuda.Memory.num_alive) == (1, before - 2)
    held += [filled(ring, stream, value) for value in (8, 9)]
    stream.synchronize()
    assert [int(image.y[0, 0]) for image in held] == [0, 8, 9] and ring.num_slots == 3


def test_a_failed_filling_loses_no_slot(cupy):
    ring, stream = Ring(16, 16, max_slots=1), cupy.cuda.Stream()

    def fail(slot):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ring.fill(stream, fail, BT709)
    assert filled(ring, stream, 1) is not None


def test_errors_of_cuda_are_translated(cupy):
    ring, stream = Ring(16, 16, max_slots=1), cupy.cuda.Stream()

    def fail(slot):
        raise cupy.cuda.runtime.CUDARuntimeError("cudaErrorIllegalAddress")

    with pytest.raises(EngineError, match="a picture could not be made on the GPU; got cudaErrorIllegalAddress"):
        ring.fill(stream, fail, BT709)
    assert filled(ring, stream, 1) is not None


def test_no_memory_is_told(cupy, monkeypatch):
    def fail(size):
        raise MemoryError("out of memory")

    monkeypatch.setattr(cupy.cuda, "Memory", fail)
    with pytest.raises(EngineError, match="no memory for a picture of 16x16 on the GPU; got out of memory; run fewer"):
        filled(Ring(16, 16), cupy.cuda.Stream(), 0)


def test_counters_add_by_purpose():
    reset()
    count_to_device("frames", 10)
    count_to_device("frames", 5)
    count_to_host("boxes", 1)
    found = transfers()
    assert (found.to_device, found.to_host, found.num_bytes) == ({"frames": 15}, {"boxes": 1}, 16)
    reset()
    assert transfers().num_bytes == 0
