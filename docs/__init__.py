"""What is written about the project, and the scripts that generate the parts of it that repeat the code."""
