"""How a network is run while it trains: what is computed is the method's and the attack's."""
