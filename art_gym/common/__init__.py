"""What every room uses: files, the registry of named parts, isolation from the process."""
