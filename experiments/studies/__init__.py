"""Studies: what is measured on these environments, each by one command."""
