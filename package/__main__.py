"""`python -m convspec` is the convspec command."""

from convspec.cli import main

main()
