"""The pieces of stage `queries`: reading, cleaning, filters, near-duplicates, draws and splits of raw queries."""
