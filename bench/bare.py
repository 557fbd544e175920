"""`python -m bench.bare …`: the command `mailflow`, its answers without attestations, to measure beside the whole."""

from dataclasses import replace

from mailflow.mail import kinds

# Before whoever composes takes it from there; each process of the pool comes this way too.
_ANSWER = replace(kinds.KINDS[kinds.ANSWER], attestations=lambda _: ())
kinds.KINDS = {**kinds.KINDS, kinds.ANSWER: _ANSWER}


def main() -> None:
    """Run the command line."""
    from mailflow.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
