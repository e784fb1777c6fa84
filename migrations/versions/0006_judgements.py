"""How cosines are to be read, what was asked, and how good the answers were

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql')


def upgrade() -> None:
    op.create_table('calibrations',
    sa.Column('index_id', sa.String(length=127), nullable=False),
    sa.Column('fingerprint', sa.String(length=12), nullable=False),
    sa.Column('asked', sa.String(length=15), nullable=False),
    sa.Column('content', sa.String(length=15), nullable=False),
    sa.Column('curve', JSON, nullable=False),
    sa.Column('fitted_at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['index_id'], ['indexes.id'], name=op.f('fk_calibrations_index_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('index_id', 'fingerprint', 'asked', 'content', name=op.f('pk_calibrations'))
    )
    op.create_table('queries',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('collection', sa.String(length=95), nullable=False),
    sa.Column('said', JSON, nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['collection'], ['collections.name'], name=op.f('fk_queries_collection')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_queries'))
    )
    op.create_index('ix_queries_tenant_collection_id', 'queries', ['tenant', 'collection', 'id'], unique=False)
    op.create_index('ix_queries_at', 'queries', ['at'], unique=False)
    op.create_table('verdicts',
    sa.Column('query_id', sa.Uuid(), nullable=False),
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.Column('grade', sa.Integer(), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_verdicts_asset_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['query_id'], ['queries.id'], name=op.f('fk_verdicts_query_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('query_id', 'asset_id', name=op.f('pk_verdicts'))
    )
    op.create_index('ix_verdicts_asset_id', 'verdicts', ['asset_id'], unique=False)


def downgrade() -> None:
    op.drop_index('ix_verdicts_asset_id', table_name='verdicts')
    op.drop_table('verdicts')
    op.drop_table('calibrations')
    op.drop_index('ix_queries_at', table_name='queries')
    op.drop_index('ix_queries_tenant_collection_id', table_name='queries')
    op.drop_table('queries')
