"""`penstock fleet` over programs that behave like workers.

python tests/e2e/fleet_command.py FOLDER CONFIG GRACE [HEALTH]
"""

import sys
from pathlib import Path

from broker.cli.fleet import run_fleet
from tests.e2e.fleet_rig import imitation

if __name__ == "__main__":
    folder, config, grace_s, *health = sys.argv[1:]
    command = imitation(Path(folder))
    sys.exit(run_fleet(Path(config), command, grace_s=float(grace_s), health=health[0] if health else None))
