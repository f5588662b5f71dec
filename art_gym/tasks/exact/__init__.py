"""Tasks with an exact denoiser, one file each."""
