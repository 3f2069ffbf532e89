"""Entry point, as a package and as a folder that Python is given."""

import sys

from so2cam_power.main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
