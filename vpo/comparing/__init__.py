"""Runs of one project set side by side."""
