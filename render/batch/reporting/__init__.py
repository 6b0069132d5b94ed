"""What people and programs see of a batch: while it runs, and at its end."""
