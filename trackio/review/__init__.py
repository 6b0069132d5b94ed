"""``dft review``: a page on this machine on which a person checks and corrects tracks."""
