"""Rows -> weights: the base model, SFT and DPO by TRL, and what the two trainings share."""
