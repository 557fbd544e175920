"""What mailflow remembers. The only package that speaks SQL."""

from mailflow.register.transaction import ConstraintViolated, LeaseLost, Register, Transaction

__all__ = ["ConstraintViolated", "LeaseLost", "Register", "Transaction"]
