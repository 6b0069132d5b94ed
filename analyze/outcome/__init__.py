"""What the track file says: rows, filled gaps, sides, and moments to review."""
