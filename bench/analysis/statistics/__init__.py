"""How far a number may be trusted: intervals over images, over seeds, and over both."""
