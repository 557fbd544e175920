"""Mutated mails against the readers of trust: side by side with OpenSSL and asn1crypto, or guided by coverage.

`make fuzz` reads a million of them (`differential`), `make fuzz-guided TARGET=…` lets the coverage lead (`guided`); a
short form of both is in the tests. The corpus is what all begin from.
"""
