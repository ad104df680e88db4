"""The screens. Each shows its presenter's properties and calls its methods."""
