"""The version of dft, written into every track file."""

VERSION = "0.1.0"
