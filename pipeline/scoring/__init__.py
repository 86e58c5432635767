"""From raw answers and dimensions to one number."""
