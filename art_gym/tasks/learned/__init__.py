"""Tasks on the shipped networks, one file each."""
