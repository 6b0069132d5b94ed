"""Stand-ins for cupy and PyNvVideoCodec that keep to what their documentation promises, and to no more.

Device memory is host memory. Streams are lazy: what is enqueued runs only when somebody waits for it, and then no
more of other streams than their events ask for. So whatever is not ordered by events runs in a bad order, and shows.
"""

import ctypes
import itertools
import re
import sys
import types
import weakref
from fractions import Fraction

import numpy as np
import pytest

from dft.engines.cpu.image import plane_view

STREAMS = weakref.WeakValueDictionary()
_handles = itertools.count(1000)


class Stream:
    def __init__(self, *, null=False, non_blocking=False):
        self.ptr = 0 if null else next(_handles)
        self._work, self._done = [], 0
        STREAMS[self.ptr] = self

    def enqueue(self, work):
        self._work.append(work)

    def run(self, until=None):
        until = len(self._work) if until is None else until
        while self._done < until:
            done, self._done = self._done, self._done + 1
            work, self._work[done] = self._work[done], None  # freeing the last one's memory may run the streams
            work()

    def record(self, event=None):
        event = event or Event()
        event.stream, event.position = self, len(self._work)
        return event

    def wait_event(self, event):
        stream, position = event.stream, event.position
        if stream is not None and stream is not self:
            self.enqueue(lambda: stream.run(position))

    def synchronize(self):
        self.run()

    def __enter__(self):
        CURRENT.append(self)
        return self

    def __exit__(self, *_):
        CURRENT.pop()


CURRENT = []


class Event:
    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.stream, self.position = None, 0

    def synchronize(self):
        if self.stream is not None:
            self.stream.run(self.position)


class Memory:
    """Freeing it waits for all work, as cudaFree does."""

    num_alive = 0

    def __init__(self, size):
        self.size = size
        self._held = np.full(size, 0xA5, np.uint8)
        self.ptr = self._held.ctypes.data
        Memory.num_alive += 1

    def __del__(self):
        for stream in list(STREAMS.values()):
            stream.run()
        Memory.num_alive -= 1


class UnownedMemory:
    def __init__(self, ptr, size, owner, device_id=-1):
        self.ptr, self.size, self.owner = ptr, size, owner


class MemoryPointer:
    def __init__(self, mem, offset):
        self.mem, self.ptr = mem, mem.ptr + offset


class ndarray(np.ndarray):
    def __new__(cls, shape, dtype=float, memptr=None, strides=None, order="C"):
        dtype = np.dtype(dtype)
        size = memptr.mem.size - (memptr.ptr - memptr.mem.ptr)
        buffer = (ctypes.c_uint8 * size).from_address(memptr.ptr)
        made = np.ndarray.__new__(cls, shape, dtype, buffer=buffer, strides=strides)
        made._memptr = memptr
        return made

    @property
    def data(self):
        return self._memptr

    def get(self, stream):
        made = np.empty(self.shape, self.dtype)
        stream.enqueue(lambda: np.copyto(made, self.view(np.ndarray)))
        return made


class PinnedMemory(np.ndarray):
    """Page-locked memory: whoever gets it next, once it is given back, writes into it."""


def empty_pinned(shape, dtype):
    held = np.empty(shape, dtype)
    made = held.view(PinnedMemory)
    weakref.finalize(made, held.fill, 0xEE)
    return made


def memcpy_async(dst, src, size, kind, stream):
    STREAMS[stream].enqueue(lambda: ctypes.memmove(dst, src, size))


def memcpy_2d_async(dst, dpitch, src, spitch, width, height, kind, stream):
    assert width <= dpitch and width <= spitch

    def work():
        for row in range(height):
            ctypes.memmove(dst + row * dpitch, src + row * spitch, width)

    STREAMS[stream].enqueue(work)


KERNELS = {
    "dft_p016_of_nv12": lambda x: x.astype(np.uint16) << 8,
    "dft_nv12_of_p016": lambda x: np.minimum((x.astype(int) + 128) >> 8, 255).astype(np.uint8),
}


class ElementwiseKernel:
    def __init__(self, in_params, out_params, operation, name):
        self._work = KERNELS[name]

    def __call__(self, held, made):
        CURRENT[-1].enqueue(lambda: np.copyto(made.view(np.ndarray), self._work(held.view(np.ndarray))))


def fake_cupy():
    cupy = types.ModuleType("cupy")
    cuda = types.ModuleType("cupy.cuda")
    null = Stream(null=True)
    Stream.null = null
    cuda.Stream, cuda.Event, cuda.Memory = Stream, Event, Memory
    cuda.UnownedMemory, cuda.MemoryPointer = UnownedMemory, MemoryPointer
    cuda.memory = types.SimpleNamespace(OutOfMemoryError=MemoryError)
    cuda.runtime = types.SimpleNamespace(
        memcpyAsync=memcpy_async, memcpy2DAsync=memcpy_2d_async, memcpyDeviceToDevice=3, memcpyHostToDevice=1,
        CUDARuntimeError=RuntimeError, getDeviceCount=lambda: 1, setDevice=lambda gpu: None,
    )  # fmt: skip
    cupy.cuda, cupy.ndarray, cupy.ElementwiseKernel = cuda, ndarray, ElementwiseKernel
    cupy.dtype, cupy.uint8, cupy.uint16 = np.dtype, np.uint8, np.uint16
    return cupy


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, as the module ``cupy``."""
    from dft.engines.cuda import surfaces

    module, extra = fake_cupy(), types.ModuleType("cupyx")
    extra.empty_pinned = empty_pinned
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setitem(sys.modules, "cupy.cuda", module.cuda)
    monkeypatch.setitem(sys.modules, "cupyx", extra)
    surfaces._depth_kernel.cache_clear()
    yield module
    surfaces._depth_kernel.cache_clear()


class PacketData:
    def __init__(self):
        self.bsl_data = self.bsl = self.pts = self.dts = self.decode_flag = 0


class Surface:
    def __init__(self, pointer, pts):
        self._pointer, self._pts = pointer, pts

    def GetPtrToPlane(self, plane):
        assert plane == 0
        return self._pointer

    def getPTS(self):
        return self._pts


HEVC_SLICES, HEVC_RASL, HEVC_BLA, HEVC_CRA = range(32), (8, 9), 16, 21  # nal_unit_type, ITU-T H.265 table 7-1


def hevc_picture_type(packet):
    """``nal_unit_type`` of the picture in an HEVC packet with start codes, or None where there is none."""
    types = (packet[unit.end()] >> 1 & 63 for unit in re.finditer(b"\0\0\1", packet))
    return next((kind for kind in types if kind in HEVC_SLICES), None)


class PyNvDecoder:
    """Decodes with FFmpeg, from the bytes alone: no container, no extradata.

    Like the real one it copies each picture on the stream that it was given into a buffer that it uses again at the
    next ``Decode()``, keeps time stamps of packets, and ends with an empty packet. Entered at a CRA picture of HEVC and
    given its leading pictures, it gives neither that one nor those.

    Attributes:
        kept_back: Types of HEVC pictures that do not come where the decoder is entered at them, whatever follows.
    """

    kept_back = ()

    def __init__(self, codec, stream, threads=1):
        import av

        self._codec, self._first = codec, None
        self._withheld = -sys.maxsize  # time stamp up to which nothing comes
        self._context = av.CodecContext.create(codec, "r")
        self._context.thread_count = threads
        self._stream, self._buffers, self._size, self._scaled = stream, [], None, None

    def setReconfigParams(self, width, height):
        assert self._size is None, "before the first packet"
        self._scaled = (width, height)

    def GetWidth(self):
        return self._size[0]

    def GetHeight(self):
        return self._size[1]

    def Decode(self, data):
        import av
        import av.error

        packet = None
        if data.bsl:
            content = ctypes.string_at(data.bsl_data, data.bsl)
            self._look_at(content, data.pts)
            packet = av.Packet(content)
            packet.pts, packet.time_base = data.pts, Fraction(1, 1000)
        try:
            pictures = self._context.decode(packet)
        except av.error.InvalidDataError:
            return []
        given = [picture for picture in pictures if picture.pts is None or picture.pts > self._withheld]
        return [self._surface(number, picture) for number, picture in enumerate(given)]

    def _look_at(self, content, pts):
        if self._first is None and self._codec == "hevc":
            self._first = hevc_picture_type(content)
            self._entered = pts
            if self._first in self.kept_back:
                self._withheld = pts
        elif self._first == HEVC_CRA and pts < self._entered and hevc_picture_type(content) in HEVC_RASL:
            self._withheld = self._entered

    def _surface(self, number, picture):
        bits = 10 if picture.format.name.endswith("10le") else 8
        if self._scaled:
            picture = picture.reformat(width=self._scaled[0], height=self._scaled[1])
        self._size = (picture.width, picture.height)
        y, u, v = (plane_view(plane, bits) << (0 if bits == 8 else 6) for plane in picture.planes)
        flat = np.concatenate([y.ravel(), np.stack([u, v], axis=-1).ravel()]).view(np.uint8)
        while len(self._buffers) <= number or self._buffers[number].size < flat.size:
            self._buffers[number:] = [np.zeros(flat.size, np.uint8)]
        buffer = self._buffers[number]
        self._stream.enqueue(lambda: np.copyto(buffer[: flat.size], flat))
        return Surface(buffer.ctypes.data, picture.pts)


CODEC_NAMES = {"H264": "h264", "HEVC": "hevc", "VP9": "vp9", "MPEG2": "mpeg2video", "AV1": "av1"}


class FakeNvc(types.ModuleType):
    """The module ``PyNvVideoCodec``: its functions refuse arguments that the real ones do not have.

    Attributes:
        num_sessions: How many decoders were made.
        decoders: The class of the decoders.
        caps: What the GPU says that it can do, for every codec.
    """

    def __init__(self):
        super().__init__("PyNvVideoCodec")
        self.cudaVideoCodec = types.SimpleNamespace(**{name: name for name in CODEC_NAMES})
        self.cudaVideoChromaFormat = types.SimpleNamespace(**{"420": "420"})
        self.PacketData = PacketData
        self.num_sessions = 0
        self.decoders = PyNvDecoder
        self.caps = {
            "supported": 1, "width_min": 48, "height_min": 16, "width_max": 4096, "height_max": 4096,
            "mb_num_max": 65536, "num_decoder_engines": 7,
        }  # fmt: skip

    def GetDecoderCaps(self, gpuid=0, codec="H264", chromaformat="420", bitdepth=8):
        return {**self.caps, "bitdepth": bitdepth}

    def CreateDecoder(
        self, gpuid=0, codec="H264", cudacontext=0, cudastream=0, usedevicememory=False, maxwidth=0, maxheight=0
    ):
        assert usedevicememory and cudastream, "in host memory, or waiting for each frame"
        assert maxwidth and maxheight
        self.num_sessions += 1
        return self.decoders(CODEC_NAMES[codec], STREAMS[cudastream])


@pytest.fixture
def nvc(monkeypatch, cupy):
    """The stand-in, as the module ``PyNvVideoCodec``, on a machine that has what it needs."""
    from dft.engines.cuda import available, nvdec

    module = FakeNvc()
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", module)
    monkeypatch.setattr(available, "why_no_library", lambda name: None)
    nvdec.decoder_caps.cache_clear()
    nvdec.num_engines.cache_clear()
    yield module
    nvdec.decoder_caps.cache_clear()
    nvdec.num_engines.cache_clear()


@pytest.fixture
def planes():
    """All values of a picture on the (stand-in) GPU, copied on a stream of its own."""
    from dft.engines.cuda.transfer import download

    def read(image):
        held = download(image, Stream(non_blocking=True))
        return held.y, held.u, held.v

    return read
