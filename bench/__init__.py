"""What we measure; figures lie in bench/results/."""
