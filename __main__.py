"""``python -m dft`` is the command ``dft``."""

from .cli import main

main()
