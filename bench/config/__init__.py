"""What was asked for: the schema of a config, and the experiment that it describes."""
