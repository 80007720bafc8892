"""L2. Streams of documents: they come, are changed, and go, and the same questions are asked after each."""
