"""`python -m selfedit`."""

import sys

from selfedit.cli.main import main

sys.exit(main())
