"""What mailflow remembers. The only package that speaks SQL."""

from mailflow.register.transaction import ConstraintViolated, Hold, LeaseLost, Register, Taken, Transaction, fitting

__all__ = ["ConstraintViolated", "Hold", "LeaseLost", "Register", "Taken", "Transaction", "fitting"]
