"""What only a GPU can show: NVDEC against the CPU's decoder, picture by picture. Skipped where there is none."""

import gc
import threading

import numpy as np
import pytest

from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cuda.available import parts, why_unusable
from dft.engines.cuda.counters import reset, transfers
from dft.engines.cuda.decode import CudaDecoder, split_at_keyframes
from dft.engines.cuda.nvdec import num_engines
from dft.engines.protocols import PictureOptions

LARGE = {"size": (256, 160)}  # NVDEC's least for HEVC and VP9 is larger than most of our recipes
# by recipe: what is changed in it, and whether pixels are the CPU's bit for bit
ON_NVDEC = {
    "closed gop": {}, "open gop": {}, "intra only": {}, "one keyframe": {}, "variable rate": {},
    "variable rate mp4": {}, "start offset": {}, "transport stream": {}, "raw h264": {}, "rotated": {},
    "with sound": {}, "hevc": LARGE, "pq": LARGE, "hlg": LARGE, "vp9": LARGE, "mpeg2": {},
}  # fmt: skip
NOT_EXACT = {"mpeg2": 4}  # the standard leaves the inverse transform's rounding free
SPANS = [(0, 1), (1, 2), (5, 6), (7, 19), (11, 14), (12, 13), (24, 50), (49, 50), (48, None)]


@pytest.fixture(scope="module", autouse=True)
def gpu(needs_cuda):
    needs_cuda(why_unusable() or next((p.missing for p in parts() if p.role == "decode" and p.missing), None))


@pytest.fixture
def held():
    import cupy

    from dft.engines.cuda.transfer import download

    stream = cupy.cuda.Stream(non_blocking=True)
    return lambda image: download(image, stream)


def picture_of(path):
    with PyAvDecoder(path, 1) as decoder:
        return PictureOptions(depth=10 if decoder.info.depth == 10 else 8)


def assert_same(image, wanted, most=0):
    for name in "yuv":
        ours, theirs = (getattr(each, name).astype(int) for each in (image, wanted))
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= most, name


@pytest.mark.parametrize("name", ON_NVDEC)
def test_nvdec_gives_the_cpu_s_frames(media, held, name):
    path = media(name, **ON_NVDEC[name])
    picture = picture_of(path)
    with CudaDecoder(path, picture=picture, rungs=("nvdec",)) as decoder, PyAvDecoder(path, 2, picture) as cpu:
        assert decoder.info == cpu.info
        pairs = list(zip(decoder.frames(), cpu.frames(), strict=True))
        assert len(pairs) == len(cpu.index) == 50
        for ours, theirs in pairs:
            assert (ours.frame_index, ours.pts) == (theirs.frame_index, theirs.pts)
            assert_same(held(ours.image), theirs.image, NOT_EXACT.get(name, 0))
            assert (ours.image.colour, ours.image.rotation) == (theirs.image.colour, theirs.image.rotation)
        assert decoder.num_corrupt == 0


@pytest.mark.parametrize("name", ON_NVDEC)
def test_any_part_of_a_video(media, held, name):
    path = media(name, **ON_NVDEC[name])
    with CudaDecoder(path, rungs=("nvdec",)) as decoder:
        whole = [(f.frame_index, f.pts, held(f.image).y.tobytes()) for f in decoder.frames()]
        for first, end in SPANS:
            part = [(f.frame_index, f.pts, held(f.image).y.tobytes()) for f in decoder.frames(first, end)]
            assert part == whole[first:end], f"frames {first} to {end}"
        assert decoder.num_corrupt == 0


@pytest.mark.parametrize("name", ["closed gop", "transport stream", "interlaced", "interlaced mpeg2", "hevc", "pq"])
def test_pyav_on_the_gpu_gives_the_cpu_s_frames(media, held, name):
    path = media(name, **ON_NVDEC.get(name, {}))
    picture = picture_of(path)
    with CudaDecoder(path, picture=picture, rungs=("pyav-cuda",)) as decoder, PyAvDecoder(path, 2, picture) as cpu:
        for first, end in ((0, None), (7, 19)):
            for ours, theirs in zip(decoder.frames(first, end), cpu.frames(first, end), strict=True):
                assert (ours.frame_index, ours.pts) == (theirs.frame_index, theirs.pts)
                assert_same(held(ours.image), theirs.image, 4 if "mpeg2" in name else 0)


@pytest.mark.parametrize(("name", "depth"), [("closed gop", 10), ("pq", 8), ("pq", 10)])
def test_depths(media, held, name, depth):
    path, picture = media(name, **LARGE), PictureOptions(depth=depth)
    with CudaDecoder(path, picture=picture, rungs=("nvdec",)) as decoder, PyAvDecoder(path, 2, picture) as cpu:
        for ours, theirs in zip(decoder.frames(0, 9), cpu.frames(0, 9), strict=True):
            assert ours.image.depth == depth
            assert_same(held(ours.image), theirs.image, 4 if depth == 10 and name == "closed gop" else 1)  # it dithers


def test_what_pynvvideocodec_does_not_take_pyav_decodes_on_the_gpu(media, held):
    """MPEG-4 part 2, in an AVI file; its transform is not exact, so that decoders differ more than by rounding."""
    path = media("avi")
    with CudaDecoder(path) as decoder, PyAvDecoder(path, 2) as cpu:
        assert decoder.rung == "pyav-cuda" and "codec mpeg4" in decoder.why
        for ours, theirs in zip(decoder.frames(), cpu.frames(), strict=True):
            image = held(ours.image)
            assert (ours.frame_index, media.read_number(image.y)) == (theirs.frame_index, theirs.frame_index)
            assert np.abs(image.y.astype(int) - theirs.image.y).mean() < 1.0


@pytest.mark.parametrize("name", ["4:4:4", "odd size"])
def test_other_videos_are_uploaded(media, held, name):
    path = media(name)
    with CudaDecoder(path) as decoder, PyAvDecoder(path, 2) as cpu:
        assert decoder.rung == "cpu" and decoder.why
        for ours, theirs in zip(decoder.frames(), cpu.frames(), strict=True):
            assert_same(held(ours.image), theirs.image)


def test_scaling_while_decoding(media, held):
    with CudaDecoder(media("closed gop", size=(640, 384)), size=(320, 192)) as decoder:
        for frame in decoder.frames(0, 20):
            assert (frame.image.width, frame.image.height) == (320, 192)
            assert media.read_number(held(frame.image).y) == frame.frame_index


def test_kept_images_do_not_change_and_dropped_ones_give_memory_back(media, held):
    import cupy

    path = media("closed gop", size=(640, 384), num_frames=200)
    with CudaDecoder(path, rungs=("nvdec",)) as decoder:
        kept = [f.image for f in decoder.frames(0, 40)]
        assert [media.read_number(held(image).y) for image in kept] == list(range(40))
        del kept
        gc.collect()
        cupy.cuda.runtime.deviceSynchronize()
        free = cupy.cuda.runtime.memGetInfo()[0]
        for _ in range(3):
            assert sum(1 for _ in decoder.frames()) == 200
        cupy.cuda.runtime.deviceSynchronize()
        assert cupy.cuda.runtime.memGetInfo()[0] >= free - 64 * 2**20


def test_no_frame_crosses_the_bus(media):
    reset()
    with CudaDecoder(media("closed gop"), rungs=("nvdec",)) as decoder:
        assert sum(1 for _ in decoder.frames()) == 50
    assert transfers().num_bytes == 0


def test_asking_for_the_engines_leaves_the_thread_in_cupy_s_context(media, held):
    import cupy

    assert num_engines() >= 1
    with CudaDecoder(media("closed gop"), rungs=("nvdec",)) as decoder:
        assert media.read_number(held(next(decoder.frames(3)).image).y) == 3
    assert int(cupy.arange(5).sum()) == 10


def test_a_slow_reader_sees_what_it_was_given(media):
    """Each picture is read on another stream, behind work that takes longer than decoding, after it was dropped."""
    import cupy

    reader = cupy.cuda.Stream(non_blocking=True)
    ballast = cupy.zeros((4096, 4096), cupy.float32)
    cupy.cuda.runtime.deviceSynchronize()
    seen = []
    with CudaDecoder(media("closed gop", size=(640, 384)), rungs=("nvdec",)) as decoder:
        for frame in decoder.frames():
            with reader, frame.image.reading(reader):
                for _ in range(20):
                    cupy.sin(ballast, out=ballast)
                seen.append(frame.image.y.copy())
            del frame
    reader.synchronize()
    assert [media.read_number(each.get()) for each in seen] == list(range(50))


def test_decoders_side_by_side_on_one_long_file(media, held):
    path = media("open gop", num_frames=240)
    spans = split_at_keyframes(CudaDecoder(path, rungs=("nvdec",)).index, 4)
    found, errors = {}, []

    def work(span):
        try:
            with CudaDecoder(path, rungs=("nvdec",)) as decoder:
                for frame in decoder.frames(*span):
                    found[frame.frame_index] = frame.image
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(span,)) for span in spans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and sorted(found) == list(range(240))
    assert all(media.read_number(held(found[index]).y) == index % 256 for index in range(240))
