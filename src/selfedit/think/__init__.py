"""L3. Texts that are longer than what is in sight: read in segments, learnt on the way, asked past the window."""
