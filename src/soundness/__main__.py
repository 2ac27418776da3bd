"""`python -m soundness` is the command line."""

from soundness.cli import main

if __name__ == "__main__":
    main()
