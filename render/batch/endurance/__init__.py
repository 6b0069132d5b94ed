"""Long runs: whether memory, files and threads stay as they are."""
