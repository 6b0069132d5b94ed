"""The nodes of a cluster: whether they do the same work as here, see the same files, and what room they have."""

import logging
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from math import ceil, floor
from pathlib import Path

from ....configs.console import count
from ....configs.errors import EngineError
from ....configs.version import VERSION
from ....engines.cluster import Node, ask
from ....engines.cluster_worker import Share
from ....engines.devices import choose_device, gpus
from ....trackio.atomic import translate_os_error
from ..admission import CORES_PER_GPU_STREAM, CORES_PER_STREAM, Admission, Machine, admit

log = logging.getLogger(__name__)

DECISIVE = ("av", "numpy", "onnxruntime", "opencv-python-headless", "pyarrow", "scipy")  # what results depend on
A_LOOK = 0.001  # of a GPU, to ask it
MANY = 1_000_000  # more videos, and cores, than any machine has
SLICE_BYTES = 50_000  # of names in one question


@dataclass(frozen=True)
class Facts:
    """What a node says of itself.

    Attributes:
        versions: Of dft and what its results depend on, by name.
        device: What it works on.
        streams_per_gpu: Videos at once on a GPU.
    """

    versions: dict[str, str]
    device: str
    streams_per_gpu: int


def facts_here(device: str) -> Facts:
    """What this machine says of itself; ``device`` is the setting."""
    chosen = choose_device(device)
    own = gpus(chosen)[:1]
    return Facts(versions_here(), chosen.kind, admit(Machine(MANY, own), None, MANY).streams if own else 0)


def versions_here() -> dict[str, str]:
    """Of dft, and of what its results depend on, by name."""
    versions = {"dft": VERSION}
    for name in DECISIVE:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


@dataclass(frozen=True)
class Room:
    """What there is for a batch.

    Attributes:
        nodes: That do the work.
        share: What each video has of one.
        device: What they work on.
        admission: How many videos at once, and why.
    """

    nodes: tuple[Node, ...]
    share: Share
    device: str
    admission: Admission

    @property
    def threads(self) -> int:
        """CPU threads of each video."""
        return max(1, int(self.share.cpus))


def survey(nodes: Sequence[Node], device: str, streams: int | None, num_videos: int) -> Room:
    """Ask the nodes what they have.

    Args:
        nodes: All of them.
        device: The setting.
        streams: Videos at once over all nodes, if it is given.
        num_videos: There are no more than these.

    Raises:
        EngineError: A node does not answer, runs another dft or works on something else; or none has room.
    """
    useful = [node for node in nodes if node.gpus] if device != "cpu" else []
    asked = useful or list(nodes)
    facts = ask(asked, facts_here, device, A_LOOK if useful else 0.0)
    here = versions_here()
    for node, its in zip(asked, facts, strict=True):
        check_same(node, its, here, facts[0].device)
    on_gpus = facts[0].device == "cuda"
    used = asked if on_gpus else list(nodes)
    per_gpu = min(its.streams_per_gpu for its in facts) if on_gpus else 0
    share = gpu_share(used, streams, per_gpu) if on_gpus else cpu_share(used, streams)
    most = sum(places(node, share) for node in used)
    if not most:
        raise EngineError(
            "no node of the cluster has room for a video", got=_offers(used), expected="at least a core for dft",
            hint="start nodes with ray start --num-cpus",
        )  # fmt: skip
    each = f"{share.gpus:g} GPU and {_cores(share)}" if share.gpus else _cores(share)
    why = f"{count(len(used), 'node')} with room for {most}, {each} for each"
    admitted = min(streams or most, most, num_videos)
    return Room(tuple(used), share, facts[0].device, Admission(admitted, (), why))


def check_same(node: Node, facts: Facts, here: dict[str, str], device: str) -> None:
    """Make sure that a node makes the same results.

    Raises:
        EngineError: It runs another dft, or works on another device.
    """
    if facts.versions["dft"] != here["dft"]:
        raise EngineError(
            f"node {node} has another version of dft", got=facts.versions["dft"], expected=here["dft"],
            hint="install the same on all nodes",
        )  # fmt: skip
    if facts.device != device:
        raise EngineError(
            f"node {node} works on {facts.device}, and others on {device}", expected="one device for all results",
            hint="choose with --device",
        )  # fmt: skip
    for name in here.keys() & facts.versions.keys():
        if facts.versions[name] != here[name]:
            log.warning(
                "node %s has %s %s, not %s: its results may differ", node, name, facts.versions[name], here[name]
            )


def _cores(share: Share) -> str:
    return f"{share.cpus:g} core{'' if share.cpus == 1 else 's'}"


def _offers(nodes: Iterable[Node]) -> str:
    return ", ".join(f"{node}: {node.cpus:g} cores and {node.gpus:g} GPUs" for node in nodes)


def cpu_share(nodes: Sequence[Node], streams: int | None) -> Share:
    """Cores for each video: two, or, if it is said how many are worked on at once, as many as that leaves for each."""
    cores = [int(node.cpus) for node in nodes]
    largest = max(cores, default=0)
    if streams is None:
        return Share(float(max(1, min(CORES_PER_STREAM, largest))))
    enough = [each for each in range(1, largest + 1) if sum(own // each for own in cores) >= streams]
    return Share(float(max(enough, default=1)))


def gpu_share(nodes: Sequence[Node], streams: int | None, per_gpu: int) -> Share:
    """Part of a GPU, and cores, for each video.

    Args:
        nodes: With GPUs.
        streams: Videos at once over all nodes, if it is given.
        per_gpu: Videos at once for which a GPU is good.
    """
    cores_per_gpu = min(node.cpus / node.gpus for node in nodes)
    num = max(1, min(per_gpu, int(cores_per_gpu / CORES_PER_GPU_STREAM)))
    if streams is not None:
        num = min(num, ceil(streams / sum(node.gpus for node in nodes)))
    cpus = cores_per_gpu / num
    return Share(float(floor(cpus)) if cpus >= 1 else _rounded(cpus), _rounded(1 / num))


def _rounded(part: float) -> float:
    """Ray counts in parts of 1/10,000."""
    return floor(part * 10_000) / 10_000


def places(node: Node, share: Share) -> int:
    """Videos at once for which a node has room."""
    return min(int(has / needs) for has, needs in ((node.cpus, share.cpus), (node.gpus, share.gpus)) if needs)


@dataclass(frozen=True)
class Sight:
    """What all nodes have to see.

    Attributes:
        folder: They read and write here.
        token: A file in it, and its content.
        files: Others that they read, with their sizes if they have their final ones.
    """

    folder: Path
    token: str
    files: tuple[tuple[Path, int | None], ...]


def check_sight(nodes: Sequence[Node], folder: Path, files: Iterable[tuple[Path, int | None]]) -> None:
    """Make sure that nodes see the same files.

    Args:
        nodes: Which.
        folder: They read and write here.
        files: They read these; see :class:`Sight`.

    Raises:
        EngineError: One does not, in one line that names it.
        OutputError: The folder cannot be written here.
    """
    token = secrets.token_hex(16)
    proof = folder / f"seen-{token}"
    try:
        proof.write_text(token, encoding="utf-8")
        for some in _slices(files):
            for node, reason in zip(nodes, ask(nodes, why_unseen, Sight(folder, token, some)), strict=True):
                if reason is not None:
                    raise EngineError(
                        f"node {node} {reason}",
                        hint="all nodes must see the videos and the output under the same paths",
                    )
    except OSError as error:
        raise translate_os_error(error, folder) from error
    finally:
        proof.unlink(missing_ok=True)


def _slices(files: Iterable[tuple[Path, int | None]]) -> Iterator[tuple[tuple[Path, int | None], ...]]:
    """As many files at a time as one question holds; at least one slice."""
    some: list[tuple[Path, int | None]] = []
    taken = 0
    for path, size in files:
        length = len(os.fsencode(path)) + 100
        if taken + length > SLICE_BYTES:
            yield tuple(some)
            some, taken = [], 0
        some.append((path, size))
        taken += length
    yield tuple(some)


def why_unseen(sight: Sight) -> str | None:
    """What this machine does not see, or None."""
    proof = sight.folder / f"seen-{sight.token}"
    try:
        if proof.read_text(encoding="utf-8") != sight.token:
            return f"sees another folder {sight.folder}"
        own = sight.folder / f"seen-{sight.token}-{secrets.token_hex(4)}"
        own.touch()
        own.unlink()
    except OSError as error:
        return f"cannot use the output folder: {error.strerror}: {error.filename}"
    for path, size in sight.files:
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno()).st_size
        except OSError as error:
            return f"cannot read {path}: {error.strerror}"
        if size is not None and found != size:
            return f"sees another file {path}, of {found:,} bytes instead of {size:,}"
    return None
