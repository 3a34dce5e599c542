"""A Worker that reads its clock."""
