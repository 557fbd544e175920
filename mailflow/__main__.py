"""`python -m mailflow`."""

from mailflow.cli.main import main

if __name__ == "__main__":
    main()
