#!/usr/bin/python3 -IS
"""The command `mailflow`: Debian's python3, with the libraries of this package and no others."""

import os
import sys

sys.path.append("/usr/lib/mailflow")

from mailflow.__main__ import main

if __name__ == "__main__":
    os.environ.setdefault("MAILFLOW_CONFIG", "/etc/mailflow/mailflow.toml")
    main()
