"""L2. Episodes: what an agent was asked, did and was told about that; and worlds of rules to test it on."""
