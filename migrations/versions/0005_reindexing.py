"""How an index is built and kept, and why it is in its state; leases and failures an index

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql')
COMING = "state IN ('planned', 'building', 'verifying')"


def upgrade() -> None:
    with op.batch_alter_table('indexes', schema=None) as batch_op:
        batch_op.add_column(sa.Column('plan', JSON, server_default='{}', nullable=False))
        batch_op.add_column(sa.Column('note', sa.Text(), nullable=True))
        batch_op.add_column(sa.Column('changed_at', sa.DateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column('profile', sa.String(length=255), server_default='', nullable=False))
    op.execute("UPDATE indexes SET profile = (SELECT profile FROM collections WHERE name = indexes.collection)")
    op.create_index('uq_indexes_coming', 'indexes', ['collection'], unique=True, sqlite_where=sa.text(COMING),
                    postgresql_where=sa.text(COMING))

    _anew('leases', [*_lease(), sa.Column('index_id', sa.String(length=127), server_default='', nullable=False)],
          ['asset_id', 'index_id'], "SELECT asset_id, generation, attempts, token, worker, expires_at, '' FROM kept")

    _anew('failures', [*_failure(), sa.Column('index_id', sa.String(length=127), nullable=False)],
          ['asset_id', 'index_id'],
          # Of which index it is was not said: of the one that is asked. The others are tried again.
          "SELECT asset_id, kept.generation, kind, message, attempts, worker, at, retry_at, indexes.id FROM kept "
          "JOIN assets ON assets.id = kept.asset_id "
          "JOIN indexes ON indexes.collection = assets.collection AND indexes.state = 'serving'",
          sa.ForeignKeyConstraint(['index_id'], ['indexes.id'], name='fk_failures_index_id', ondelete='CASCADE'))
    op.create_index('ix_failures_index_id', 'failures', ['index_id'], unique=False)


def downgrade() -> None:
    _anew('failures', _failure(), ['asset_id'],
          "SELECT asset_id, kept.generation, kind, message, attempts, worker, at, retry_at FROM kept "
          "JOIN indexes ON indexes.id = kept.index_id AND indexes.state = 'serving'")
    _anew('leases', _lease(), ['asset_id'],
          "SELECT asset_id, generation, attempts, token, worker, expires_at FROM kept WHERE index_id = ''")
    op.drop_index('uq_indexes_coming', table_name='indexes')
    with op.batch_alter_table('indexes', schema=None) as batch_op:
        for name in ('profile', 'changed_at', 'note', 'plan'):
            batch_op.drop_column(name)


def _lease() -> list[sa.Column]:
    return [
        sa.Column('asset_id', sa.Uuid(), nullable=False),
        sa.Column('generation', sa.Integer(), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('token', sa.String(length=32), nullable=True),
        sa.Column('worker', sa.String(length=255), nullable=False),
        sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    ]


def _failure() -> list[sa.Column]:
    return [
        sa.Column('asset_id', sa.Uuid(), nullable=False),
        sa.Column('generation', sa.Integer(), nullable=False),
        sa.Column('kind', sa.String(length=63), nullable=False),
        sa.Column('message', sa.Text(), nullable=False),
        sa.Column('attempts', sa.Integer(), nullable=False),
        sa.Column('worker', sa.String(length=255), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('retry_at', sa.DateTime(timezone=True), nullable=True),
    ]


def _anew(table: str, columns: Sequence[sa.Column], key: Sequence[str], rows: str, *more: sa.Constraint) -> None:
    """A table made anew under another key: neither database changes a primary key alike. Nothing refers to it."""
    op.execute(f'CREATE TEMPORARY TABLE kept AS SELECT * FROM {table}')
    op.drop_table(table)
    assets = sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=f'fk_{table}_asset_id', ondelete='CASCADE')
    op.create_table(table, *columns, assets, sa.PrimaryKeyConstraint(*key, name=f'pk_{table}'), *more)
    op.execute(f'INSERT INTO {table} {rows}')
    op.execute('DROP TABLE kept')
