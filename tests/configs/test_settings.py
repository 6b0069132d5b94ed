"""Settings are declared once; flags, file and page come from the declarations."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dft.cli import PASSES
from dft.configs.errors import SettingError
from dft.configs.flags import setting_flags, settings_from_flags, settings_page
from dft.configs.settings import all_settings, as_values, build, declared, groups, read_settings_file, setting

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Oven:
    """Heat."""

    heat: float = setting(180.0, "How hot.", unit="degrees", minimum=50, maximum=300)
    racks: int = setting(2, "How many racks.", minimum=1)
    even: int = setting(4, "An even one.", even=True)


@dataclass(frozen=True)
class Dough:
    """What is baked."""

    kind: str = setting("bread", "What it becomes.", choices=("bread", "cake"))
    rest: int | None = setting(None, "Minutes of rest.", unit="minutes", minimum=0)
    sweet: bool = setting(False, "With sugar.")


@dataclass(frozen=True)
class Baking:
    """A pass for tests."""

    oven: Oven = field(default_factory=Oven)
    dough: Dough = field(default_factory=Dough)


def value_of(item) -> st.SearchStrategy:
    """Values that the setting allows."""
    if item.choices:
        made = st.sampled_from(item.choices)
    elif item.read is not None:
        made = st.just(item.example.strip('"'))
    elif item.type is bool:
        made = st.booleans()
    elif item.type is str:
        made = st.text()
    elif item.type is int:
        low, high = (None if v is None else int(v) for v in (item.minimum, item.maximum))
        made = st.integers(low, high).filter(lambda v: not item.even or v % 2 == 0)
    else:
        made = st.floats(item.minimum, item.maximum, allow_nan=False)
    return st.none() | made if item.optional else made


@pytest.mark.parametrize("kind", [Baking, *PASSES.values()], ids=lambda k: k.__name__)
@given(data=st.data())
def test_build_and_as_values_are_inverse(kind, data):
    values = data.draw(st.fixed_dictionaries({n: value_of(s) for n, s in all_settings(kind).items()}))
    made = build(kind, values)
    assert as_values(made) == values
    assert build(kind, as_values(made)) == made


@pytest.mark.parametrize("kind", [Baking, *PASSES.values()], ids=lambda k: k.__name__)
def test_nothing_said_means_the_defaults(kind):
    assert build(kind, {}) == kind()
    for item in all_settings(kind).values():
        assert item.check(item.default) == item.default, "a default lies within its own range"


@pytest.mark.parametrize("kind", PASSES.values(), ids=lambda k: k.__name__)
def test_names_are_unique_and_each_has_a_sentence(kind):
    items = [item for _, group in groups(kind) for item in declared(group)]
    assert len({item.name for item in items}) == len(items)
    assert len({item.flag for item in items}) == len(items)
    for item in items:
        assert item.help.endswith("."), item.name
        assert item.help[0].isupper() or item.help.startswith(("x264 ", *(item.choices or ()))), item.name


@pytest.mark.parametrize(
    ("values", "flag", "expected"),
    [
        ({"heat": 400.0}, "--heat", r"a number from 50 to 300 \(degrees\)"),
        ({"heat": "hot"}, "--heat", "a number"),
        ({"heat": True}, "--heat", "a number"),
        ({"heat": float("nan")}, "--heat", "a number"),
        ({"racks": 0}, "--racks", "a whole number of at least 1"),
        ({"racks": 1.5}, "--racks", "a whole number"),
        ({"racks": True}, "--racks", "a whole number"),
        ({"even": 3}, "--even", "an even number"),
        ({"kind": "stone"}, "--kind", "one of bread, cake"),
        ({"kind": 3}, "--kind", "one of bread, cake"),
        ({"rest": -1}, "--rest", r"a whole number of at least 0 \(minutes\)"),
        ({"sweet": 1}, "--sweet", "true or false"),
        ({"sweet": "yes"}, "--sweet", "true or false"),
    ],
    ids=str,
)
def test_what_cannot_be_names_flag_and_what_is_expected(values, flag, expected):
    with pytest.raises(SettingError, match=rf"cannot be .*expected {expected}.*{flag}"):
        build(Baking, values)


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(SettingError, match=r"no setting 'heet'; expected one of even, heat, kind, racks, rest, sweet"):
        build(Baking, {"heet": 1})


def test_whole_numbers_are_numbers():
    made = build(Baking, {"heat": 200})
    assert made.oven.heat == 200.0 and isinstance(made.oven.heat, float)


def test_read_settings_file(tmp_path):
    path = tmp_path / "dft.toml"
    path.write_text("[analyze]\nbatch_size = 2\nassign = 'position'\n")
    assert read_settings_file(path, "analyze") == {"batch_size": 2, "assign": "position"}
    assert read_settings_file(path, "render") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"[analyze\n", "is not TOML", id="broken"),
        pytest.param(b"\xff\xfe[", "is not TOML", id="not UTF-8"),
        pytest.param(
            b"[analyse]\n", r"unknown table or key 'analyse'; expected \[analyze\] and \[render\]", id="table"
        ),
        pytest.param(b"batch_size = 2\n", "unknown table or key 'batch_size'", id="key outside"),
        pytest.param(b"analyze = 3\n", r"expected a table \[analyze\]", id="no table"),
    ],
)
def test_settings_files_that_cannot_be_read(tmp_path, content, message):
    path = tmp_path / "dft.toml"
    path.write_bytes(content)
    with pytest.raises(SettingError, match=message) as caught:
        read_settings_file(path, "analyze")
    assert "dft.toml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no.toml", "."])
def test_settings_files_that_are_not_there(tmp_path, name):
    with pytest.raises(SettingError, match="cannot read settings file"):
        read_settings_file(tmp_path / name, "analyze")


def test_flag_over_file_over_default(tmp_path):
    path = tmp_path / "dft.toml"
    path.write_text("[analyze]\nbatch_size = 2\nhigh_score = 0.5\n")
    kind = PASSES["analyze"]
    flags = {"batch_size": 8, "high_score": None, "birth_score": None}
    made = as_values(settings_from_flags(kind, "analyze", path, flags))
    assert (made["batch_size"], made["high_score"], made["birth_score"]) == (8, 0.5, 0.7)
    assert as_values(settings_from_flags(kind, "analyze", None, flags))["high_score"] == 0.6


@pytest.fixture
def bake():
    """A command with the flags of ``Baking``."""

    @click.command()
    @setting_flags(Baking)
    def command(config, **flags):
        click.echo(as_values(build(Baking, {n: v for n, v in flags.items() if v is not None})))

    return command


def test_flags_of_every_type(bake):
    words = ["--heat", "210.5", "--racks", "3", "--kind", "cake", "--rest", "20", "--sweet"]
    result = CliRunner().invoke(bake, words)
    assert eval(result.stdout) == {
        "heat": 210.5, "racks": 3, "even": 4, "kind": "cake", "rest": 20, "sweet": True,
    }  # fmt: skip
    assert "'sweet': False" in CliRunner().invoke(bake, ["--no-sweet"]).stdout


def test_help_of_flags_tells_default_and_unit(bake):
    text = " ".join(CliRunner().invoke(bake, ["--help"]).stdout.split())
    assert "How hot. [180.0 degrees]" in text
    assert "Minutes of rest. [not set]" in text
    assert "With sugar. [off]" in text


def test_a_settings_file_by_environment(tmp_path):
    @click.command()
    @setting_flags(Baking)
    def command(config, **flags):
        click.echo(config)

    result = CliRunner().invoke(command, env={"DFT_CONFIG": str(tmp_path / "mine.toml")})
    assert result.stdout == f"{tmp_path / 'mine.toml'}\n"


def test_the_page_in_the_repository_is_up_to_date():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(PASSES), "make it again with: dft settings > docs/settings.md"


def test_every_setting_has_one_row_on_the_page():
    rows = re.findall(r"^\| `(\w+)` \|", settings_page(PASSES), re.MULTILINE)
    assert rows == [name for kind in PASSES.values() for name in all_settings(kind)]
