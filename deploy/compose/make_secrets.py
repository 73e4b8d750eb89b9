"""Makes the secrets of compose.yaml: random passwords, and the URLs that hold them. Keeps those that are there.

python deploy/compose/make_secrets.py; then write the key of your account: deploy/compose/secrets/openai_api_key
"""

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "secrets"
USER = "penstock"


def contents() -> Mapping[str, str]:
    """Every file, by name; the password of a server stands in its own file, and in the URL."""
    postgres, rabbitmq, redis = (secrets.token_urlsafe(32) for _ in range(3))
    return {
        "postgres_password": postgres,
        "database_url": f"postgresql://{USER}:{postgres}@postgres:5432/{USER}",
        "rabbitmq.conf": f"default_vhost = {USER}\ndefault_user = {USER}\ndefault_pass = {rabbitmq}\n",
        "rabbitmq_url": f"amqp://{USER}:{rabbitmq}@rabbitmq:5672/{USER}",
        "redis.conf": f"requirepass {redis}\n",
        "redis_url": f"redis://:{redis}@redis:6379/0",
    }


def make(folder: Path) -> bool:
    """Write them all, or nothing where one is there; whether they were written."""
    wanted = contents()
    folder.mkdir(mode=0o700, exist_ok=True)
    if any((folder / name).exists() for name in wanted):
        return False
    for name, text in wanted.items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o444)  # containers read them as users of their own; the folder is closed to others on this machine
    return True


if __name__ == "__main__":
    made = make(FOLDER)
    sys.stdout.write(f"wrote {FOLDER}\n" if made else f"{FOLDER} holds secrets already; remove them to make new ones\n")
