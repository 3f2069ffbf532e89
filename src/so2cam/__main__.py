"""``python -m so2cam``: the same as the command ``so2cam``."""

from so2cam.cli.main import main

if __name__ == "__main__":
    main()
