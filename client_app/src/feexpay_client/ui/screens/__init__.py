"""The screens. Each shows the properties of its presenter and calls its methods; nothing else."""
