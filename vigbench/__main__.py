"""`python -m vigbench` is `vigbench`."""

from vigbench.cli import main

if __name__ == "__main__":
    main()
