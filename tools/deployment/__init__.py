"""The files in sample_project/deploy: checked by the programs that read them, and run as a whole installation."""
