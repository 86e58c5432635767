"""Clips: bytes, frames, shards, and prompts that are too long for a generator."""
