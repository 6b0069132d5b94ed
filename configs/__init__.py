"""Settings and their sources, hardware probing, the error tree. Imports nothing of ours."""
