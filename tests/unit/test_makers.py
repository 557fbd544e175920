"""What a process of the pool imports."""

import subprocess
import sys

HEAVY = ("sqlalchemy", "alembic", "apscheduler", "aioimaplib", "aiosmtplib", "click", "mailflow.settings")
IMPORTS = "import sys, mailflow.__main__, mailflow.mail.makers, mailflow.mail.pool; print(*sys.modules)"


def test_a_process_of_the_pool_imports_nothing_that_only_the_main_process_needs() -> None:
    imported = subprocess.run(
        [sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "mailflow.mail.judge" in imported
    assert not set(HEAVY) & set(imported)
