"""The graph's stages, one file each under the name that dvc.yaml gives it, and the rooms they draw from."""
