"""Tasks on the shipped networks, a file each."""
