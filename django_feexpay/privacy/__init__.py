"""The payer's data: how long it is kept, how it is exported and erased, and the rotation of its keys."""
