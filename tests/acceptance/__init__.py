"""Black-box stories: real servers, the real `mailflow` process, and desks that know only the interface guide."""

import pytest

pytest.register_assert_rewrite(*(f"tests.acceptance.operator{part}" for part in ("", "_mails", "_machine")))
