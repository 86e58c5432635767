"""What a run will ask, buy and take, counted before it begins."""
