"""One file per precision, and what they share: block-wise codes, calibration, accuracy."""
