"""Command-line flags and the documentation page, made from the declared settings."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from .settings import Setting, build, declared, groups, read_settings_file

T = TypeVar("T")


def setting_flags(
    pass_settings: type, only: Sequence[str] | None = None
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator that adds one flag per setting of a pass, and ``--config FILE``.

    Args:
        pass_settings: Settings of the pass.
        only: Names of the settings that get a flag, and then there is no ``--config``; all if not given.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for _, group in reversed(list(groups(pass_settings))):
            for item in reversed(list(declared(group))):
                if only is None or item.name in only:
                    command = _flag(item)(command)
        if only is not None:
            return command
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar="DFT_CONFIG",
            help="Settings file (TOML); flags win over it.  [env: DFT_CONFIG]",
        )(command)

    return decorate


def _flag(item: Setting) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    shown = _shown_default(item)
    note = f"  [{shown}{' ' + item.unit if item.unit and item.default is not None else ''}]"
    if item.type is bool:
        return click.option(f"{item.flag}/--no-{item.flag[2:]}", item.name, default=None, help=item.help + note)
    if item.read is not None:
        note = f" {item.form[0].upper()}{item.form[1:]}, such as {item.example}.{note}"
    kind: Any = click.Choice(item.choices) if item.choices else item.type
    return click.option(item.flag, item.name, type=kind, default=None, help=item.help + note)


def _shown_default(item: Setting) -> str:
    if item.type is bool:
        return "on" if item.default else "off"
    return "not set" if item.default is None else str(item.default)


def settings_from_flags(pass_settings: type[T], section: str, config: Path | None, flags: dict[str, Any]) -> T:
    """Settings of a pass: defaults, then the settings file, then the flags that were given.

    Raises:
        SettingError: A value or name that cannot be, wherever it came from.
    """
    values = read_settings_file(config, section) if config else {}
    values.update({name: value for name, value in flags.items() if value is not None})
    return build(pass_settings, values)


def settings_page(passes: dict[str, type]) -> str:
    """The text of ``docs/settings.md``: every setting of every pass as a Markdown table."""
    lines = [
        "# Settings",
        "",
        "Made from the declarations in the code by `dft settings`; do not edit by hand. Each is a flag of its command",
        "(`--crf 20`) and a key of its table in a settings file (`--config dft.toml`, or `DFT_CONFIG`); a flag",
        "wins over the file, the file over the default.",
    ]
    for section, pass_settings in passes.items():
        lines += ["", f"## `[{section}]`"]
        for group_name, group in groups(pass_settings):
            lines += ["", f"### {group_name}", "", (group.__doc__ or "").strip().splitlines()[0], ""]
            lines += ["| name | default | allowed | meaning |", "| --- | --- | --- | --- |"]
            for item in declared(group):
                default = (
                    ""
                    if item.default is None
                    else f"`{str(item.default).lower() if item.type is bool else item.default}`"
                )
                lines.append(f"| `{item.name}` | {default} | {item.expected} | {item.help} |")
    return "\n".join(lines) + "\n"
