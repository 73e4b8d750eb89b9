"""What a batch says of losses and what it is for; warnings of results; the answers of jobs that take several calls."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("batches", sa.Column("on_loss", sa.String(), server_default="fail", nullable=False))
    op.add_column("batches", sa.Column("use", sa.String(), nullable=True))
    op.add_column("results", sa.Column("warnings", sa.String(), nullable=True))
    op.create_table(
        "part_answers",
        sa.Column("batch_id", _BIG_ID, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "position", "part", name=op.f("pk_part_answers")),
    )


def downgrade() -> None:
    op.drop_table("part_answers")
    op.drop_column("results", "warnings")
    for column in ("on_loss", "use"):
        op.drop_column("batches", column)
