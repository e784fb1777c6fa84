"""Which text inside things a collection reads; where the time goes; points say what their segment is

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql')


def upgrade() -> None:
    for table in ('collections', 'indexes'):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.add_column(sa.Column('reads', JSON, server_default='[]', nullable=False))
    op.create_table('stages',
    sa.Column('collection', sa.String(length=95), nullable=False),
    sa.Column('stage', sa.String(length=31), nullable=False),
    sa.Column('seconds', sa.Float(), nullable=False),
    sa.Column('assets', sa.BigInteger(), nullable=False),
    sa.ForeignKeyConstraint(['collection'], ['collections.name'], name=op.f('fk_stages_collection_collections')),
    sa.PrimaryKeyConstraint('collection', 'stage', name=op.f('pk_stages'))
    )
    # Points that were written before do not say what their segment is, and would not be found: index all again.
    op.execute('DELETE FROM receipts')


def downgrade() -> None:
    op.drop_table('stages')
    for table in ('indexes', 'collections'):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column('reads')
