"""The unique number: its parts, its grammar. Allocation is the register's work.

`TTT MMYY NNNNNN CCCCC`, printed without separators: territory, month and year of the first deposit,
sequence within both, creating desk. There is no check character. The grammar is versioned: a later national
number may look otherwise, so everything but this module treats a number as an opaque string.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import NewType

DeskCode = NewType("DeskCode", str)
"""Five characters, `[0-9A-Z]{5}`; a school desk's begins with `Z`."""
Territory = NewType("Territory", str)
"""Three characters: a département padded (`059`, `02A`, `974`), or `111` for Île-de-France."""
UniqueNumber = NewType("UniqueNumber", str)
