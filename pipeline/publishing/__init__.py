"""The parts of a package: card, terms, secret scan."""
