"""Models in processes of their own: one that crashes or runs out of memory takes nobody else down."""
