"""What lies in the pay-once store: statistics, garbage, archives."""
