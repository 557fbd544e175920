"""What mailflow remembers. The only package that speaks SQL."""
