"""Networks that were trained elsewhere: their files, their architectures, and what goes wrong."""
