"""Generation: options, logits, sampling, stopping, beams, streaming, and the loop that runs the model."""
