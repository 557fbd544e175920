"""Black-box stories: real servers, the real `mailflow` process, and desks that know only the interface guide."""
