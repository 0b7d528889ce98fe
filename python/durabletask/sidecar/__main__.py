"""`python -m durabletask.sidecar`: the same as the `durabletask-sidecar` command."""

import sys

from durabletask.sidecar import main

if __name__ == "__main__":
    sys.exit(main())
