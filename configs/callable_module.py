"""Lets a pass's package be called: ``dft.analyze("in.mp4")``.

``dft.analyze`` names the folder of pass one and, for users, the function that runs it. Python binds a
subpackage to its parent's attribute of that name, so the package itself answers the call.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class CallableModule(ModuleType):
    """A package whose call is that of the function of its own name in its ``pipeline`` module."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pass; the arguments are those of ``pipeline.<package name>``."""
        function = getattr(import_module(f"{self.__name__}.pipeline"), self.__name__.rpartition(".")[2])
        return function(*args, **kwargs)


def make_callable(module_name: str) -> None:
    """Make the loaded package ``module_name`` callable."""
    sys.modules[module_name].__class__ = CallableModule
