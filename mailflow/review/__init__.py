"""Decided mails, looked at again: shadow replay, and the export of one case. Writes nothing to the register."""
