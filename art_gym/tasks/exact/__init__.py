"""Tasks whose denoiser is known exactly, a file each."""
