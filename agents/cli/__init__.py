"""The command `art-gym`, one file per subcommand."""
