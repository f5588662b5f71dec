"""``python -m art_gym.agents`` is ``art-gym``."""

import sys

from .cli.main import main

sys.exit(main())
