"""The server of the review page: routes, and a life that ends with the page.

All routes and their answers are listed in docs/review.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ...configs.errors import CorruptVideoError, DftError, SettingError, StaleEditError
from .lifetime import Lifetime
from .review import Review, check_range
from .security import Guard, Secrets, new_token

log = logging.getLogger(__name__)

ADDRESS = "127.0.0.1"
JPEG = "image/jpeg"
MEDIA_TYPES = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml", "png": "image/png",
}  # fmt: skip
MOST_BOXES, MOST_CROPS, MOST_FRAMES, MOST_BUCKETS = 2_000, 20_000, 1_000, 10_000
MOST_PIXELS = 8192  # of a side of a picture
SOUND_SECONDS = 30.0
POLL_SECONDS, LOOK_SECONDS = 20.0, 0.5  # that a question for changes waits, and how often the log is looked at
STOP_SECONDS = 3  # that requests under way may take when the server ends

Endpoint = Callable[[Request], Awaitable[Response]]


class ReviewServer:
    """Serves one review on a port of this machine.

    Args:
        review: What is reviewed; not closed here.
        port: The port, or 0 for any that is free.
        lifetime: When it ends by itself.

    Attributes:
        url: The address of the page, with the token.
        port: The port.

    Raises:
        SettingError: The port cannot be had.
    """

    def __init__(self, review: Review, port: int = 0, lifetime: Lifetime | None = None):
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        secrets = Secrets(f"{ADDRESS}:{self.port}", new_token())
        self.url = f"{secrets.origin}/#token={secrets.token}"
        self._lifetime = lifetime or Lifetime()
        app = application(review, secrets, self._lifetime, lambda: self._server.should_exit)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                lifespan="off",
                timeout_graceful_shutdown=STOP_SECONDS,
                ws="none",
            )
        )

    def run(self) -> None:
        """Serve until the page is closed, :meth:`stop` is called, or a signal comes, which is raised again."""
        asyncio.run(self._run())

    def stop(self) -> None:
        """End, from another thread."""
        self._server.should_exit = True

    async def _run(self) -> None:
        watch = asyncio.create_task(self._watch())
        try:
            await self._server.serve([self._socket])
        finally:
            watch.cancel()

    async def _watch(self) -> None:
        while not self._lifetime.over:
            await asyncio.sleep(0.2)
        log.info("the page is closed: the server ends")
        self.stop()


def application(review: Review, secrets: Secrets, lifetime: Lifetime, stopping: Callable[[], bool]) -> Starlette:
    """The application.

    Args:
        review: What is reviewed.
        secrets: What requests must know.
        lifetime: Is told of every request.
        stopping: Whether the server is about to end.
    """
    api = _Api(review, lifetime, stopping)
    reads = {
        "session": api.session, "times": api.times, "suspects": api.suspects, "suspects/{key}/card": api.card,
        "lanes": api.lanes, "boxes": api.boxes, "crops": api.crops, "frame/{index:int}.jpg": api.frame,
        "crop/{index:int}.jpg": api.face, "frames": api.frames, "sound.wav": api.sound, "log": api.log,
        "events": api.events,
    }  # fmt: skip
    writes = {
        "edit": api.edit, "undo": api.undo, "redo": api.redo, "propose": api.propose, "goodbye": api.goodbye,
    }  # fmt: skip
    routes = [Route(f"/api/{path}", _counted(endpoint, lifetime)) for path, endpoint in reads.items()]
    routes += [Route(f"/api/{path}", _counted(call, lifetime), methods=["POST"]) for path, call in writes.items()]
    errors: dict[Any, Any] = {
        DftError: _refused, StaleEditError: _stale, CorruptVideoError: _damaged, HTTPException: _http_error,
    }  # fmt: skip
    made = Starlette(
        routes=[*_static_routes(), *routes],
        middleware=[Middleware(Guard, secrets=secrets)],
        exception_handlers=errors,
    )
    made.router.redirect_slashes = False
    return made


class _Api:
    """What the routes do. Whatever may wait for the decoder or the tracks runs in a thread."""

    def __init__(self, review: Review, lifetime: Lifetime, stopping: Callable[[], bool]):
        self._review, self._lifetime, self._stopping = review, lifetime, stopping
        self._streams = itertools.count()
        self._frame_count = review.state().times.video.frame_count

    async def session(self, _: Request) -> Response:
        found = await run_in_threadpool(self._review.session)
        return JSONResponse({**found, "keep_open": self._lifetime.keep_open})

    async def times(self, _: Request) -> Response:
        return Response(await run_in_threadpool(self._review.times), media_type="application/octet-stream")

    async def suspects(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._review.suspects))

    async def card(self, request: Request) -> Response:
        found = await run_in_threadpool(self._review.card, request.path_params["key"])
        if found is None:
            raise HTTPException(404, "there is no such suspect")
        return JSONResponse(found)

    async def lanes(self, request: Request) -> Response:
        first, last = self._range(request, self._frame_count)
        buckets = _number(request, "buckets", 1000, least=1, most=MOST_BUCKETS)
        return JSONResponse(await run_in_threadpool(self._review.lanes, first, last, buckets))

    async def boxes(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._review.boxes, *self._range(request, MOST_BOXES)))

    async def crops(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._review.crops, *self._range(request, MOST_CROPS)))

    async def frame(self, request: Request) -> Response:
        index, width = self._index(request), _number(request, "width", 0, most=MOST_PIXELS)
        asker, serial = _serial(request)
        found = await run_in_threadpool(self._review.video.frame, index, width, asker, serial)
        if found is None:
            raise HTTPException(503, "a newer frame is wanted")
        return Response(found, media_type=JPEG, headers={"X-Dft-Frame": str(index)})

    async def face(self, request: Request) -> Response:
        index, size = self._index(request), _number(request, "size", 160, least=16, most=1024)
        box = _box(request)
        return Response(await run_in_threadpool(self._review.video.face, index, box, size), media_type=JPEG)

    async def frames(self, request: Request) -> Response:
        first = _number(request, "first", 0, most=self._frame_count - 1)
        num, width = _number(request, "num", 25, most=MOST_FRAMES), _number(request, "width", 960, most=MOST_PIXELS)
        made = self._stream(range(first, min(first + num, self._frame_count)), width)
        return StreamingResponse(made, media_type="application/octet-stream")

    async def sound(self, request: Request) -> Response:
        start, seconds = _float(request, "start", 0.0), _float(request, "seconds", 10.0)
        if not (start >= 0 and 0 < seconds <= SOUND_SECONDS):
            raise HTTPException(422, f"sound; expected start from 0 on and at most {SOUND_SECONDS:g} seconds")
        found = await run_in_threadpool(self._review.video.sound, start, seconds)
        if found is None:
            raise HTTPException(404, "there is no sound")
        return Response(found, media_type="audio/wav")

    async def log(self, _: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._review.log))

    async def events(self, request: Request) -> Response:
        known = _number(request, "revision", 0, most=1 << 31)
        loop = asyncio.get_running_loop()
        ends = loop.time() + POLL_SECONDS
        while True:
            revision = await run_in_threadpool(self._review.refresh)
            if revision != known or loop.time() >= ends or self._stopping():
                return JSONResponse({"revision": revision, "changed": revision != known})
            if await request.is_disconnected():  # the page is gone, and no sign of life any more
                return Response(status_code=499)
            await asyncio.sleep(LOOK_SECONDS)

    async def edit(self, request: Request) -> Response:
        body = await _body(request)
        dry_run = body.get("dry_run", False)
        if not isinstance(dry_run, bool):
            raise HTTPException(422, "dry_run; expected true or false")

        def work() -> Any:
            return self._review.edit(_whole(body, "revision"), body.get("operation"), dry_run=dry_run)

        return JSONResponse(await run_in_threadpool(work))

    async def undo(self, request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await run_in_threadpool(self._review.undo, _whole(body, "revision")))

    async def redo(self, request: Request) -> Response:
        body = await _body(request)
        return JSONResponse(await run_in_threadpool(self._review.redo, _whole(body, "revision")))

    async def propose(self, request: Request) -> Response:
        body = await _body(request)
        wanted = [_whole(body, name) for name in ("track_id", "first_frame", "last_frame")]
        return JSONResponse(await run_in_threadpool(self._review.propose, *wanted))

    async def goodbye(self, _: Request) -> Response:
        # after this request has been counted, which would begin a longer time
        asyncio.get_running_loop().call_later(0.1, self._lifetime.goodbye)
        return JSONResponse({})

    def _index(self, request: Request) -> int:
        index: int = request.path_params["index"]
        if index >= self._frame_count:
            raise HTTPException(404, f"there is no frame {index}")
        return index

    def _range(self, request: Request, most: int) -> tuple[int, int]:
        first = _number(request, "first", 0)
        last = _number(request, "last", min(first + most, self._frame_count) - 1)
        check_range(first, last, self._frame_count, most)
        return first, last

    def _stream(self, frames: range, width: int) -> Iterator[bytes]:
        """Per frame its index and the length of its JPEG, each uint32 little-endian, and the JPEG; none if damaged."""
        asker = f"stream {next(self._streams)}"
        for index in frames:
            try:
                made = self._review.video.frame(index, width, asker) or b""
            except CorruptVideoError:
                made = b""
            yield struct.pack("<II", index, len(made)) + made


def _counted(endpoint: Endpoint, lifetime: Lifetime) -> Endpoint:
    async def counted(request: Request) -> Response:
        with lifetime.request():
            return await endpoint(request)

    return counted


def _static_routes() -> list[Route]:
    """A route for each file of the page, read once: no name from outside ever becomes a path."""
    routes = []
    for name, file in _listed(files(__package__) / "static"):
        routes.append(Route("/" if name == "index.html" else f"/static/{name}", _static(name, file.read_bytes())))
    return routes


def _listed(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _listed(item, f"{prefix}{item.name}/")
        elif item.name.rpartition(".")[2] in MEDIA_TYPES:
            yield prefix + item.name, item


def _static(name: str, content: bytes) -> Endpoint:
    async def serve(_: Request) -> Response:
        return Response(content, media_type=MEDIA_TYPES[name.rpartition(".")[2]])

    return serve


def _bound(port: int) -> socket.socket:
    made = socket.socket(
        socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # named, so that asyncio sets TCP_NODELAY
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((ADDRESS, port))
        made.listen()  # whoever is quick waits
    except (OSError, OverflowError) as error:
        made.close()
        raise SettingError(
            f"port {port} cannot be had", got=getattr(error, "strerror", None) or error, hint="choose another --port"
        ) from error
    return made


def _number(request: Request, name: str, default: int, *, least: int = 0, most: int = (1 << 31) - 1) -> int:
    text = request.query_params.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise HTTPException(422, f"{name}; expected a whole number from {least} to {most}")
    return int(text)


def _float(request: Request, name: str, default: float) -> float:
    try:
        return float(request.query_params.get(name, default))
    except ValueError as error:
        raise HTTPException(422, f"{name}; expected a number") from error


def _box(request: Request) -> tuple[float, float, float, float]:
    with contextlib.suppress(ValueError):
        x1, y1, x2, y2 = map(float, request.query_params.get("box", "").split(","))
        if -1e5 < x1 < x2 < 1e5 and -1e5 < y1 < y2 < 1e5:
            return x1, y1, x2, y2
    raise HTTPException(422, "box; expected x1,y1,x2,y2 with x1 < x2 and y1 < y2")


def _serial(request: Request) -> tuple[str | None, int]:
    """Who asks, and the number of the wish: ``page:12``, or only ``12``."""
    asker, _, number = request.headers.get("x-dft-serial", "").rpartition(":")
    return (asker[:64], int(number)) if number.isascii() and number.isdigit() and len(number) < 16 else (None, 0)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, "the body is no JSON") from error
    if not isinstance(body, dict):
        raise HTTPException(422, "the body is no JSON object")
    return body


def _whole(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 1 << 31:
        raise HTTPException(422, f"{name}; expected a whole number")
    return value


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 422)


async def _stale(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error), "revision": getattr(error, "revision", None)}, 409)


async def _damaged(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404)


async def _http_error(_: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 500)
    return JSONResponse({"error": getattr(error, "detail", "")}, status, headers=getattr(error, "headers", None))
