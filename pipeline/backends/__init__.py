"""The implementations of the four seams of schemas/seams.py, a folder each, and what several of them need."""
