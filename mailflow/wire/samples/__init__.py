"""Sample exchanges: what a desk sends in one mail after the other to a fresh register, and what comes back.

They are published for vendors, and sent through the real worker by a test.
"""

from mailflow.wire.samples.exchange import Exchange, FileSample, QuestionSample
from mailflow.wire.samples.files import sample_files
from mailflow.wire.samples.story import EXCHANGES

__all__ = ["EXCHANGES", "Exchange", "FileSample", "QuestionSample", "sample_files"]
