"""The status page in headless Chromium: light and dark, wide and in 80 columns; axe finds nothing to object to."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from mailflow.ops import page
from mailflow.ops.snapshot import Expiry, Snapshot, Surroundings
from tests.support.available import require
from tests.unit.test_status import AT, snapshot, stage, view

AXE = Path(__file__).parents[1] / "data/axe/axe.min.js"
WIDE, NARROW = 1280, 640
"""In CSS pixels; 640 are 80 columns of a terminal."""
PROBE = """
<script src="axe.min.js"></script>
<script>
axe.run(document, {resultTypes: ["violations", "incomplete"]}).then((found) => {
  const told = document.createElement("pre");
  told.id = "told";
  const root = document.documentElement;
  told.textContent = JSON.stringify({
    violations: found.violations.map((one) => [one.id, one.nodes.map((node) => node.html)]),
    // Of what is scrolled out of sight axe cannot tell the contrast.
    untold: found.incomplete.flatMap((one) => one.nodes.map((node) => node.target[0]))
      .filter((target) => !document.querySelector(target).closest(".wide")),
    passes: found.passes.length,
    overflow: root.scrollWidth - root.clientWidth,
    background: getComputedStyle(document.body).backgroundColor,
    focusable: [...document.querySelectorAll("a[href], [tabindex='0']")].map((one) => one.textContent.trim()),
  });
  document.body.append(told);
});
</script>
"""


def fine() -> Snapshot:
    return snapshot()


def trouble() -> Snapshot:
    """As much as there can be on the page, with long names."""
    stages = [stage(name) for name in ("receive", "process", "compose", "doubtful", "acknowledge")]
    ends = tuple(
        Expiry(kind=kind, name="a-very-long-name-of-an-authority" * 2, at=AT + timedelta(days=days))
        for days, kind in enumerate(("list", "service", "anchor"), -1)
    )
    seen = snapshot(view(0.1, 2, 7, 13, desk="59123", rate=0), *stages, stage("deliver", failures=7))
    return replace(seen, surroundings=Surroundings(expiries=ends, quotas=seen.surroundings.quotas))


def without_register() -> Snapshot:
    return replace(fine(), queues=None)


@pytest.fixture(scope="module")
def browser() -> str:
    require("chromium")
    return shutil.which("chromium") or ""


def looked_at(browser: str, folder: Path, seen: Snapshot, *, width: int, dark: bool) -> dict[str, Any]:
    """What a browser makes of the page. The probe is in a file: what is served forbids every script."""
    html = page.render(seen).replace("</body>", f"{PROBE}</body>")
    (folder / "page.html").write_text(html, encoding="utf-8")
    (folder / "style.css").write_text(page.style(), encoding="utf-8")
    shutil.copy(AXE, folder)
    done = subprocess.run(
        [
            browser,
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *(f"--user-data-dir={folder}/profile", f"--window-size={width},1200", "--virtual-time-budget=20000"),
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--dump-dom",
            (folder / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told is not None, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(unescape(told[1]))
    return found


@pytest.mark.one_in(4)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("seen", [fine, trouble, without_register])
def test_anybody_can_read_it(browser: str, tmp_path: Path, seen: Any, width: int, dark: bool) -> None:
    found = looked_at(browser, tmp_path, seen(), width=width, dark=dark)
    assert found["violations"] == []
    assert found["untold"] == []
    assert found["passes"] > 15
    assert found["overflow"] <= 0, "nothing is to be scrolled sideways but the table of ages"
    assert (found["background"] == "rgb(255, 255, 255)") is not dark
    assert found["focusable"][0] == "Skip to the queue"


def test_axe_would_find_something(browser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faint = page.style().replace("--quiet: #55595e", "--quiet: #cccccc")
    monkeypatch.setattr(page, "style", lambda: faint)
    found = looked_at(browser, tmp_path, fine(), width=WIDE, dark=False)
    assert [one[0] for one in found["violations"]] == ["color-contrast"]
