"""What was erased, what is being erased, and bytes that were replaced

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
    op.create_index('ix_erasures_tenant', 'erasures', ['tenant'], unique=False)
    op.create_table('erasing',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('number', sa.Integer(), nullable=False),
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('collection', sa.String(length=95), nullable=False),
    sa.Column('names', JSON, nullable=False),
    sa.Column('whole', sa.Boolean(), nullable=False),
    sa.Column('asked', JSON, nullable=False),
    sa.Column('found', JSON, nullable=True),
    sa.Column('token', sa.String(length=32), nullable=False),
    sa.Column('worker', sa.String(length=255), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('begun_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_erasing'))
    )
    op.create_table('erasing_assets',
    sa.Column('erasing_id', sa.Uuid(), nullable=False),
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('external_id', sa.String(length=1023), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['erasing_id'], ['erasing.id'], name=op.f('fk_erasing_assets_erasing_id'),
                            ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('erasing_id', 'asset_id', name=op.f('pk_erasing_assets'))
    )
    op.create_index('ix_erasing_assets_asset_id', 'erasing_assets', ['asset_id'], unique=False)
    op.create_table('superseded',
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('digest', name=op.f('pk_superseded'))
    )


def downgrade() -> None:
    op.drop_table('superseded')
    op.drop_table('erasing_assets')
    op.drop_table('erasing')
    op.drop_table('erasures')
