"""`python -m fluvial`: the same as the `fluvial` command."""

from ._serving.cli import main

if __name__ == "__main__":
    main()
