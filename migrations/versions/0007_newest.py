"""What came in last is found without sorting everything

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    columns = ['tenant', 'collection', 'created_at', 'id']
    op.create_index('ix_assets_tenant_collection_created_at_id', 'assets', columns, unique=False)


def downgrade() -> None:
    op.drop_index('ix_assets_tenant_collection_created_at_id', table_name='assets')
