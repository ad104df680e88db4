"""The tamper-evident history: chains of keyed hashes over events, credits and staff actions, and their proof."""
