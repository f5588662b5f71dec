"""Code that all packages share: safe file writes, the registry of named parts, isolation from the process."""
