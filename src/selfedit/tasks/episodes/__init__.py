"""L2. Episodes: what an agent was asked, what it did, and what it was told about that; and worlds of rules to test on."""
