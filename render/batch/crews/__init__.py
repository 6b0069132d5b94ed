"""Who does the steps: processes of this machine, or of a Ray cluster."""
