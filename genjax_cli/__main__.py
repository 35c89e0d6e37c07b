"""python -m genjax_cli is the command `genjax`."""

from genjax_cli.main import main

if __name__ == "__main__":
    main()
