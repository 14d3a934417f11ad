"""Images: files and bytes to pixels, and pixels to what models take, as preprocessor_config.json says."""
