"""The catalogue

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('collections',
    sa.Column('name', sa.String(length=63), nullable=False),
    sa.Column('fields', sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql'), nullable=False),
    sa.Column('profile', sa.String(length=255), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_collections'))
    )
    op.create_table('circuits',
    sa.Column('name', sa.String(length=63), nullable=False),
    sa.Column('faults', sa.Integer(), nullable=False),
    sa.Column('open_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.PrimaryKeyConstraint('name', name=op.f('pk_circuits'))
    )
    op.create_table('assets',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('collection', sa.String(length=63), nullable=False),
    sa.Column('external_id', sa.String(length=1023), nullable=False),
    sa.Column('modality', sa.String(length=15), nullable=False),
    sa.Column('media_type', sa.String(length=127), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('size', sa.BigInteger(), nullable=False),
    sa.Column('metadata', sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql'), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('changed_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('removed_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['collection'], ['collections.name'], name=op.f('fk_assets_collection')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_assets')),
    sa.UniqueConstraint('tenant', 'collection', 'external_id', name=op.f('uq_assets_tenant_collection_external_id'))
    )
    with op.batch_alter_table('assets', schema=None) as batch_op:
        batch_op.create_index('ix_assets_collection_changed_at', ['collection', 'changed_at'], unique=False)
        batch_op.create_index('ix_assets_digest', ['digest'], unique=False)
        batch_op.create_index('ix_assets_removed_at', ['removed_at'], unique=False)

    op.create_table('indexes',
    sa.Column('id', sa.String(length=127), nullable=False),
    sa.Column('collection', sa.String(length=63), nullable=False),
    sa.Column('state', sa.String(length=15), nullable=False),
    sa.Column('spaces', sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql'), nullable=False),
    sa.Column('fields', sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql'), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['collection'], ['collections.name'], name=op.f('fk_indexes_collection')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_indexes'))
    )
    with op.batch_alter_table('indexes', schema=None) as batch_op:
        batch_op.create_index('uq_indexes_serving', ['collection'], unique=True, sqlite_where=sa.text("state = 'serving'"), postgresql_where=sa.text("state = 'serving'"))

    op.create_table('failures',
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('kind', sa.String(length=63), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('worker', sa.String(length=255), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('retry_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_failures_asset_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_failures'))
    )
    op.create_table('leases',
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('token', sa.String(length=32), nullable=True),
    sa.Column('worker', sa.String(length=255), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_leases_asset_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('asset_id', name=op.f('pk_leases'))
    )
    op.create_table('receipts',
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('index_id', sa.String(length=127), nullable=False),
    sa.Column('generation', sa.Integer(), nullable=False),
    sa.Column('points', sa.Integer(), nullable=False),
    sa.Column('signed_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_receipts_asset_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['index_id'], ['indexes.id'], name=op.f('fk_receipts_index_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('asset_id', 'index_id', name=op.f('pk_receipts'))
    )
    with op.batch_alter_table('receipts', schema=None) as batch_op:
        batch_op.create_index('ix_receipts_index_id', ['index_id'], unique=False)



def downgrade() -> None:
    with op.batch_alter_table('receipts', schema=None) as batch_op:
        batch_op.drop_index('ix_receipts_index_id')

    op.drop_table('receipts')
    op.drop_table('leases')
    op.drop_table('failures')
    with op.batch_alter_table('indexes', schema=None) as batch_op:
        batch_op.drop_index('uq_indexes_serving', sqlite_where=sa.text("state = 'serving'"), postgresql_where=sa.text("state = 'serving'"))

    op.drop_table('indexes')
    with op.batch_alter_table('assets', schema=None) as batch_op:
        batch_op.drop_index('ix_assets_removed_at')
        batch_op.drop_index('ix_assets_digest')
        batch_op.drop_index('ix_assets_collection_changed_at')

    op.drop_table('assets')
    op.drop_table('circuits')
    op.drop_table('collections')
