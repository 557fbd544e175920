"""Write what we publish into a folder: `python -m mailflow.wire.publish schemas/`."""

import sys
from pathlib import Path

from mailflow.wire.catalogue import published


def main(arguments: list[str]) -> int:
    """Write every published file under the folder that is the one argument."""
    (folder,) = arguments
    for name, content in published().items():
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
