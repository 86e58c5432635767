"""Scorers that run in environments of their own, and the protocol they speak."""
