"""`python -m soundness.organisms` makes the organisms, as `soundness organisms make` does."""

import sys

from soundness.cli import main

if __name__ == "__main__":
    sys.argv[1:1] = ["organisms", "make"]
    main()
