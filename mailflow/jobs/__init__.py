"""What time does: notices, expiry, dispatch, purge, retention. Jobs queue intents; the mail door sends."""
