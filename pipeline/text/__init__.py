"""Text as it comes in: cleaning, loops, ready-made sets."""
