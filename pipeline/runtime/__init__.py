"""What carries rows, answers and clips, and makes none."""
