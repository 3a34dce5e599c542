"""The product's Worker with workflows that use one feature of the engine each."""
