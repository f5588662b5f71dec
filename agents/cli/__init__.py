"""The command `art-gym`: a file a command."""
