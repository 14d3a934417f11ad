"""``headway tune``: measure on this machine what an artifact runs fastest with, keep it, and load it that way."""
