"""``python -m art_gym.agents`` is ``art-gym``."""

import sys

from .cli import main

sys.exit(main())
