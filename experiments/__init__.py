"""What is newer than the papers: imports the rest of the project and is imported by nothing."""
