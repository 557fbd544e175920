"""The version of what is tested, for reports of what takes hours and is gone on with on another day."""

import subprocess
from pathlib import Path

import mailflow

ROOT = Path(__file__).parents[2]


def version_of(*paths: str) -> str:
    """The commit that last changed any of these, with `+` when they are changed in none; without any the release."""
    changed = _git("log", "-1", "--format=%h", "--", *paths)
    return changed + "+" * bool(_git("status", "--porcelain", "--", *paths)) or mailflow.__version__


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=ROOT, check=False)
    return done.stdout.strip()
