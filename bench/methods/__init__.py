"""Training methods, one a file: the equation, its citation, the attack, the state it needs."""
