"""The composition roots: each puts the parts of one kind of process together."""
