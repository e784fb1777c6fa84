"""What was erased: a chain of receipts

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('erasures',
    sa.Column('number', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('collection', sa.String(length=95), nullable=False),
    sa.Column('receipt', JSON, nullable=False),
    sa.Column('previous', sa.String(length=64), nullable=False),
    sa.Column('hash', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('number', name=op.f('pk_erasures')),
    sa.UniqueConstraint('hash', name=op.f('uq_erasures_hash'))
    )


def downgrade() -> None:
    op.drop_table('erasures')
