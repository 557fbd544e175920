"""Who is the same person, and who may be: the identity of those who would sign a lease."""

from mailflow.core.identity.likeness import Identity, Likeness, Profile, compare, near_keys
from mailflow.core.identity.names import exact_key, is_usable, normalise

__all__ = ["Identity", "Likeness", "Profile", "compare", "exact_key", "is_usable", "near_keys", "normalise"]
