"""What the arms are compared by."""
