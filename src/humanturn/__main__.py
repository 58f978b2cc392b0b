"""`python -m humanturn` is the `humanturn` command (torchrun starts it this way)."""

from humanturn.cli import main

main()
