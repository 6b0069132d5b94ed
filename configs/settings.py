"""Declaring a setting once: name, type, default, unit, range and help.

A group of settings is a frozen dataclass whose fields are made by :func:`setting`; a pass's settings are a
frozen dataclass of groups. Command-line flags (``configs/flags.py``), the settings file and ``docs/settings.md``
are all made from these declarations. Names are unique within a pass.
"""

import tomllib
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from .errors import SettingError

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One declared setting.

    Attributes:
        name: Field name; the flag is the same with dashes.
        type: ``bool``, ``int``, ``float`` or ``str``.
        optional: Whether ``None`` (not set) is allowed.
        default: Value where nobody says otherwise.
        help: One sentence.
        unit: Unit of the value, for people.
        choices: Allowed values, if they are few.
        minimum: Smallest allowed value.
        maximum: Largest allowed value.
        even: Whether the value must be even.
        read: Reads text of a certain form, and raises ``ValueError`` where it cannot be.
        form: That form in words.
        example: Text of that form.
    """

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    unit: str | None = None
    choices: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    even: bool = False
    read: Callable[[str], object] | None = None
    form: str = "text"
    example: str | None = None

    @property
    def flag(self) -> str:
        """The long option, such as ``--min-score``."""
        return "--" + self.name.replace("_", "-")

    def check(self, value: Any) -> Any:
        """Return ``value`` in the setting's type.

        Raises:
            SettingError: It has another type, or is outside the allowed values.
        """
        if value is None and self.optional:
            return None
        if self.type is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        right_type = isinstance(value, self.type) and (self.type is bool or not isinstance(value, bool))
        if not right_type or not self._within(value):
            raise SettingError(
                f"setting {self.name} cannot be {value!r}",
                expected=self.expected,
                hint=f"change {self.flag}, or {self.name} in the settings file",
            )
        if self.read is not None:
            self._check_form(self.read, value)
        return value

    def _check_form(self, read: Callable[[str], object], value: str) -> None:
        try:
            read(value)
        except ValueError as error:
            raise SettingError(
                f"setting {self.name} cannot be {value!r}: {error}",
                expected=self.expected,
                hint=f"change {self.flag}, or {self.name} in the settings file",
            ) from error

    def _within(self, value: Any) -> bool:
        if self.choices is not None:
            return value in self.choices
        if self.even and value % 2:
            return False
        low_enough = self.maximum is None or value <= self.maximum
        return low_enough and (self.minimum is None or value >= self.minimum)

    @property
    def expected(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {bool: "true or false", int: "a whole number", float: "a number", str: self.form}[self.type]
        if self.even:
            words = "an even number"
        if self.example is not None:
            words += f", such as {self.example}"
        if self.minimum is not None and self.maximum is not None:
            words += f" from {self.minimum:g} to {self.maximum:g}"
        elif self.minimum is not None:
            words += f" of at least {self.minimum:g}"
        return words + (f" ({self.unit})" if self.unit else "")


def setting(default: Any, help: str, **details: Any) -> Any:
    """Declare a field of a settings group; ``details`` are attributes of :class:`Setting`."""
    return field(default=default, metadata={"help": help, **details})


def declared(group: type) -> Iterator[Setting]:
    """The settings that the dataclass ``group`` declares, in order."""
    hints = typing.get_type_hints(group)
    for item in fields(group):
        if "help" in item.metadata:
            yield _setting_of(item, hints[item.name])


def _setting_of(item: "Field[Any]", hint: Any) -> Setting:
    members = [t for t in typing.get_args(hint) if t is not types.NoneType] or [hint]
    optional = types.NoneType in typing.get_args(hint)
    return Setting(item.name, members[0], optional, item.default, **item.metadata)


def groups(pass_settings: type) -> Iterator[tuple[str, type]]:
    """Name and dataclass of each group in a pass's settings, in order."""
    hints = typing.get_type_hints(pass_settings)
    for item in fields(pass_settings):
        if is_dataclass(hints[item.name]):
            yield item.name, cast(type, hints[item.name])


def all_settings(pass_settings: type) -> dict[str, Setting]:
    """Every setting of a pass by name."""
    return {s.name: s for _, group in groups(pass_settings) for s in declared(group)}


def build(pass_settings: type[T], values: Mapping[str, Any]) -> T:
    """Make a pass's settings from flat ``values``; what is not named, or is None, keeps its default.

    Raises:
        SettingError: A name is unknown, or a value is outside its setting's range.
    """
    known = all_settings(pass_settings)
    for name in values:
        if name not in known:
            close = ", ".join(sorted(known))
            raise SettingError(f"there is no setting {name!r}", expected=f"one of {close}")
    made = {}
    for group_name, group in groups(pass_settings):
        own = {s.name: s.check(values[s.name]) for s in declared(group) if values.get(s.name) is not None}
        made[group_name] = group(**own)
    return pass_settings(**made)


def as_values(settings: Any) -> dict[str, Any]:
    """The flat values of a pass's settings: the opposite of :func:`build`."""
    result: dict[str, Any] = {}
    for item in fields(settings):
        group = getattr(settings, item.name)
        if is_dataclass(group):
            result.update({f.name: getattr(group, f.name) for f in fields(group) if f.default is not MISSING})
    return result


def read_settings_file(path: Path, section: str) -> dict[str, Any]:
    """Values of table ``section`` (``analyze`` or ``render``) of a TOML settings file.

    Raises:
        SettingError: The file is missing or is not TOML, or the section is no table.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"cannot read settings file {path}", got=error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(
            f"settings file {path} is not TOML", got=error, expected="tables [analyze] and [render]"
        ) from error
    unknown = sorted(set(document) - {"analyze", "render"})
    if unknown:
        raise SettingError(
            f"settings file {path}", got=f"unknown table or key {unknown[0]!r}", expected="[analyze] and [render]"
        )
    table = document.get(section, {})
    if not isinstance(table, dict):
        raise SettingError(f"settings file {path}: {section}", got=repr(table), expected=f"a table [{section}]")
    return table
