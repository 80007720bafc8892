"""L2. Few-shot puzzles of the Abstraction and Reasoning Corpus (ARC): the self-edit configures the training."""
