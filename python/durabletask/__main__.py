"""`python -m durabletask`: the same as the `durabletask` command."""

import sys

from durabletask.cli import main

if __name__ == "__main__":
    sys.exit(main())
