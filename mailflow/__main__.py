"""`python -m mailflow`, and the command `mailflow`."""


def main() -> None:
    """Run the command line. It is imported late: each process of the pool imports this module again."""
    from mailflow.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
