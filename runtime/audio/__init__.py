"""Audio without PyTorch: files to waveforms, and waveforms to what models take."""
