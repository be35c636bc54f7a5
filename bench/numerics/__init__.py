"""What makes numbers repeatable: named random streams and device settings."""
