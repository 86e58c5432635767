"""Shapes only: rows, params, seams."""
