"""What we send to a language model and how its answers are read."""
