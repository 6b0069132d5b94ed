import inspect
import re

import pytest

from dft.configs import errors
from dft.configs.errors import DftError

CLASSES = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, DftError)
}  # fmt: skip


def drawn() -> dict[str, tuple[str, str | None]]:
    """Parent and builtin base of each class as the module's docstring draws them."""
    found: dict[str, tuple[str, str | None]] = {}
    path = ["DftError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^([| ]*)\+-- (\w+)\s*(?:\((\w+)\))?", line)
        if match:
            depth = len(match[1]) // 4 + 1
            found[match[2]] = (path[depth - 1], match[3])
            path[depth:] = [match[2]]
    return found


def test_the_drawn_tree_is_the_tree():
    assert set(drawn()) | {"DftError"} == set(CLASSES)
    for name, (parent, builtin) in drawn().items():
        bases = CLASSES[name].__bases__
        assert bases[0] is CLASSES[parent], name
        assert [base.__name__ for base in bases[1:]] == ([builtin] if builtin else []), name


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_messages_are_one_line_of_what_got_expected_and_hint(kind):
    error = kind("a\nthing failed", got="  this\n\tand that", expected=3, hint="try\nagain")
    assert str(error) == "a thing failed; got this and that; expected 3; try again"
    assert (error.what, error.expected, error.hint) == ("a\nthing failed", 3, "try\nagain")
    assert str(kind("just this")) == "just this"


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_they_can_be_caught_as_dfts_and_as_builtins(kind):
    with pytest.raises(DftError):
        raise kind("x")
    builtins = [base for base in kind.__mro__ if base.__module__ == "builtins" and base not in (object, BaseException)]
    for base in builtins:
        with pytest.raises(base):
            raise kind("x")


def test_falsy_values_are_told():
    assert str(DftError("x", got=0, expected=False)) == "x; got 0; expected False"
