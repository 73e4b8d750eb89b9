"""The fleet: elections, scales, open batches, submissions over AMQP and subscriptions to results."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("submissions", sa.Column("reply", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("name", sa.String(), nullable=True))
    op.add_column("batches", sa.Column("sealed", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("batches", sa.Column("seal_at", sa.Double(), nullable=True))
    op.add_column("batches", sa.Column("seal_after_s", sa.Double(), nullable=True))
    op.add_column("batches", sa.Column("continues", _BIG_ID, nullable=True))
    op.create_index(op.f("ix_batches_project_name"), "batches", ["project", "name"], unique=True)
    op.add_column("workers", sa.Column("slots", sa.Integer(), nullable=True))
    op.add_column("workers", sa.Column("waits_for", sa.String(), nullable=True))
    op.add_column("workers", sa.Column("busy", sa.Double(), nullable=True))
    op.create_table(
        "elections",
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("renewed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("role", name=op.f("pk_elections")),
    )
    op.create_table(
        "scales",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("processes", sa.Integer(), nullable=False),
        sa.Column("set_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_scales")),
    )
    op.create_table(
        "quarantine",
        sa.Column("quarantine_id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("quarantine_id", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", _BIG_ID, autoincrement=True, nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("batch_id", _BIG_ID, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("subscription_id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_subscriptions_project_name")),
    )
    op.create_table(
        "subscription_cursors",
        sa.Column("subscription_id", _BIG_ID, nullable=False),
        sa.Column("batch_id", _BIG_ID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["subscriptions.subscription_id"],
            name=op.f("fk_subscription_cursors_subscriptions"),
        ),
        sa.PrimaryKeyConstraint("subscription_id", "batch_id", name=op.f("pk_subscription_cursors")),
        postgresql_with={"fillfactor": 20},
    )


def downgrade() -> None:
    for table in ("subscription_cursors", "subscriptions", "quarantine", "scales", "elections"):
        op.drop_table(table)
    for column in ("slots", "waits_for", "busy"):
        op.drop_column("workers", column)
    op.drop_index(op.f("ix_batches_project_name"), table_name="batches")
    for column in ("name", "sealed", "seal_at", "seal_after_s", "continues"):
        op.drop_column("batches", column)
    op.drop_column("submissions", "reply")
