"""``make demo``: real documents, a real crash, and a comparison with an undisturbed run."""
