"""Which text inside things a collection reads; points say what their segment is

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
    # Points that were written before do not say what their segment is, and would not be found: index all again.
    op.execute('DELETE FROM receipts')


def downgrade() -> None:
    for table in ('indexes', 'collections'):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_column('reads')
