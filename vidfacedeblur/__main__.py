"""``python -m vidfacedeblur`` is the command ``vidfacedeblur``."""

import sys

from vidfacedeblur.cli import main

sys.exit(main())
