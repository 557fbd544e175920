"""Lets coverage lead: `python -m tests.fuzz.guided TARGET FOLDER [options of libFuzzer]`; `make fuzz-guided TARGET=…`.

FOLDER keeps what the fuzzer found worth keeping; it begins from the corpus. Needs Atheris (requirements/fuzz.txt).
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["mailflow"]):
    from tests.fuzz import corpus, targets


def main() -> None:
    """Runs until it is stopped, or to the end that the options give; a finding ends it with its octets in a file."""
    if len(sys.argv) < 3 or sys.argv[1] not in targets.TARGETS:
        sys.exit(f"usage: python -m tests.fuzz.guided TARGET FOLDER [options]\ntargets: {' '.join(targets.TARGETS)}")
    _, target, folder, *options = sys.argv
    Path(folder).mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], folder, str(corpus.FOLDER), *options], targets.TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
