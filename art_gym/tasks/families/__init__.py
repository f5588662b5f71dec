"""Tasks that are many models at once, one file each."""
