"""How fast training and evaluation are here, beside code as the papers released it."""
