"""L5. The command line; one file a command, `main` calls them."""
