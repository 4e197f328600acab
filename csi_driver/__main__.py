"""``python -m csi_driver`` is ``clinker``."""

import sys

from csi_driver.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
