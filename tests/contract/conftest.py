"""One contract suite per role, over every backend that is present.

A backend is one entry in ``BACKENDS``: how each role is opened, and how its images are made and read. That of CUDA is
skipped where no GPU is.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dft.configs.errors import BackendUnavailableError
from dft.engines import fake
from dft.engines.cpu.compose import OpenCvCompositor
from dft.engines.cpu.decode import PyAvDecoder
from dft.engines.cpu.detect import ROTATIONS, YuNetDetector
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.cpu.encode import PyAvEncoder
from dft.engines.cpu.image import YuvImage
from dft.engines.cuda.available import why_unusable
from dft.engines.protocols import Canvas, Colour, EncodeOptions, Tile
from dft.engines.weights import find_model
from dft.render.portraits import eileen_collins, grace_hopper

TURN_BACK = {90: 270, 180: 180, 270: 90}


@dataclass(frozen=True)
class Backend:
    """How a backend plays the roles, and how tests look into its images.

    Attributes:
        decoder: From the recipe and the path of a video.
        content: Everything that a decoded image holds, to be compared.
        number: The frame that a decoded image shows.
        detector: Opened with a lowest score.
        embedder: Opened with its default weights.
        faces_image: Image with faces at displayed boxes, of a displayed size, coded turned by a rotation.
        compositor: Opened for a canvas size.
        encoder: Opened for a path and options.
        canvas: Image of one grey level, to be encoded.
    """

    decoder: Callable[[Any, Path], Any]
    content: Callable[[Any], bytes]
    number: Callable[[Any], int]
    detector: Callable[[float], Any]
    embedder: Callable[[], Any]
    faces_image: Callable[[Sequence[tuple[float, ...]], tuple[int, int], int], Any]
    compositor: Callable[[int, int], Any]
    encoder: Callable[[Path, EncodeOptions], Any]
    canvas: Callable[[int, int, int], Any]


def cpu_backend(media: Any) -> Backend:
    def detector(min_score: float) -> YuNetDetector:
        return YuNetDetector(find_model("yunet"), size=640, min_score=min_score, threads=1)

    return Backend(
        decoder=lambda _, path: PyAvDecoder(path, threads=2),
        content=lambda image: b"".join(plane.tobytes() for plane in (image.y, image.u, image.v)),
        number=lambda image: media.read_number(image.y),
        detector=detector,
        embedder=lambda: OnnxEmbedder(find_model("dlib"), threads=1),
        faces_image=portraits_image,
        compositor=lambda width, height: OpenCvCompositor(Canvas(width, height)),
        encoder=PyAvEncoder,
        canvas=lambda width, height, luma: yuv_of(np.full((height, width, 3), luma, np.uint8), 0),
    )


def fake_backend(media: Any) -> Backend:
    def decoder(recipe: Any, path: Path) -> fake.FakeDecoder:
        images = [fake.FakeImage(luma=number) for number in range(len(recipe.stamps))]
        return fake.FakeDecoder(
            images,
            pts=recipe.stamps,
            keyframes=range(0, len(images), 12),
            info=fake.fake_info(time_base=recipe.time_base),
        )

    def faces_image(boxes: Any, size: Any, rotation: int) -> fake.FakeImage:
        return fake.FakeImage(tuple(fake.FakeFace(tuple(b), 0.9 - 0.1 * i, identity=i) for i, b in enumerate(boxes)))

    return Backend(
        decoder=decoder,
        content=lambda image: bytes([image.luma]),
        number=lambda image: image.luma,
        detector=fake.FakeDetector,
        embedder=fake.FakeEmbedder,
        faces_image=faces_image,
        compositor=lambda *_: fake.FakeCompositor(),
        encoder=lambda *_: fake.FakeEncoder(),
        canvas=lambda *size_and_luma: fake.FakeImage(luma=size_and_luma[2]),
    )


def cuda_backend(media: Any) -> Backend:
    """Imports what a role needs only when the role is opened."""

    def decoder(_: Any, path: Path) -> Any:
        from dft.engines.cuda.decode import CudaDecoder

        return CudaDecoder(path, threads=2)

    def detector(min_score: float) -> Any:
        from dft.engines.cuda.detect import CudaYuNetDetector

        return CudaYuNetDetector(find_model("yunet"), size=640, min_score=min_score)

    def embedder() -> Any:
        from dft.engines.cuda.embed import CudaEmbedder

        return CudaEmbedder(find_model("dlib"))

    def compositor(width: int, height: int) -> Any:
        from dft.engines.cuda.compose import CudaCompositor

        return CudaCompositor(Canvas(width, height))

    def encoder(path: Path, options: EncodeOptions) -> Any:
        from dft.engines.cuda.encode import RUNGS, open_cuda_encoder

        *better, last = RUNGS
        for rung in better:
            with suppress(BackendUnavailableError):
                return open_cuda_encoder(path, options, rung)
        return open_cuda_encoder(path, options, last)

    def uploaded(image: YuvImage) -> Any:
        from dft.engines.cuda.transfer import Uploader

        return Uploader(image.width, image.height, image.depth)(image)

    def held(image: Any) -> YuvImage:
        import cupy

        from dft.engines.cuda.transfer import download

        return download(image, cupy.cuda.Stream(non_blocking=True))

    cpu = cpu_backend(media)
    return Backend(
        decoder=decoder,
        content=lambda image: cpu.content(held(image)),
        number=lambda image: cpu.number(held(image)),
        detector=detector,
        embedder=embedder,
        faces_image=lambda *boxes_size_and_rotation: uploaded(cpu.faces_image(*boxes_size_and_rotation)),
        compositor=compositor,
        encoder=encoder,
        canvas=lambda *size_and_luma: uploaded(cpu.canvas(*size_and_luma)),
    )


BACKENDS = {"cpu": cpu_backend, "fake": fake_backend, "cuda": cuda_backend}


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """What backends keep between runs stays out of the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", params=list(BACKENDS))
def backend_name(request, needs_cuda) -> str:
    if request.param == "cuda":
        needs_cuda(why_unusable())
    return request.param


@pytest.fixture(scope="session")
def backend(backend_name, media) -> Backend:
    return BACKENDS[backend_name](media)


def portraits_image(boxes: Sequence[tuple[float, ...]], size: tuple[int, int], rotation: int) -> YuvImage:
    """The two portraits with their faces at ``boxes`` of the displayed picture."""
    width, height = size
    canvas = np.full((height, width, 3), 110, np.float32)
    for box, portrait in zip(boxes, (grace_hopper(), eileen_collins()), strict=False):
        x1, y1, x2, y2 = portrait.face_xyxy
        scale = (box[3] - box[1]) / (y2 - y1)
        shift = [(box[0] + box[2]) / 2 - scale * (x1 + x2) / 2, (box[1] + box[3]) / 2 - scale * (y1 + y2) / 2]
        matrix = np.column_stack([np.eye(2) * scale, shift])
        layer = cv2.warpAffine(portrait.pixels, matrix, size, flags=cv2.INTER_AREA)
        canvas += layer[..., 3:] * (layer[..., :3] - canvas)
    return yuv_of(canvas.astype(np.uint8), rotation)


def yuv_of(displayed_bgr: Any, rotation: int) -> YuvImage:
    """The image whose display after ``rotation`` is ``displayed_bgr``."""
    coded = cv2.rotate(displayed_bgr, ROTATIONS[TURN_BACK[rotation]]) if rotation else displayed_bgr
    height, width = coded.shape[:2]
    planes = cv2.cvtColor(coded, cv2.COLOR_BGR2YUV_I420)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return YuvImage(planes[:height], chroma[0], chroma[1], Colour(6, 1, 1), rotation)


@pytest.fixture(scope="session")
def options() -> EncodeOptions:
    return EncodeOptions(64, 48, Fraction(1, 1000), Fraction(25), Colour(1, 1, 1), preset="ultrafast")


@pytest.fixture(scope="session")
def tile() -> Callable[..., Tile]:
    return Tile
