"""How each runtime loads the bundle: the shortest example a user would copy."""
