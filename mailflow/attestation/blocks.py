"""What a page is made of: the template knows how each kind of block looks."""

from collections.abc import Iterable
from typing import Any

from mailflow.attestation.typography import french

Block = dict[str, Any]
"""One block as the template reads it (JSON)."""


def heading(level: int, text: str) -> Block:
    return {"kind": "heading", "level": level, "text": text}


def paragraph(text: str) -> Block:
    return {"kind": "paragraph", "text": text}


def bullets(items: Iterable[str]) -> Block:
    return {"kind": "list", "items": list(items)}


def rows(pairs: Iterable[tuple[str, str]]) -> Block:
    """Label and value, side by side."""
    return {"kind": "rows", "rows": [[french("{label} :", label=label), value] for label, value in pairs]}
