"""API keys, bulk jobs, replies; longer names of collections

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Text
from sqlalchemy.dialects import postgresql

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

NAMES = (('collections', 'name'), ('indexes', 'collection'), ('assets', 'collection'))


def upgrade() -> None:
    for table, column in NAMES:
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column(column, existing_type=sa.String(length=63), type_=sa.String(length=95), existing_nullable=False)

    op.create_table('api_keys',
    sa.Column('id', sa.String(length=12), nullable=False),
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('name', sa.String(length=255), nullable=False),
    sa.Column('secret_hash', sa.String(length=255), nullable=False),
    sa.Column('roles', sa.JSON().with_variant(postgresql.JSONB(astext_type=Text()), 'postgresql'), nullable=False),
    sa.Column('queries_per_second', sa.Float(), nullable=True),
    sa.Column('assets_per_day', sa.BigInteger(), nullable=True),
    sa.Column('bytes_per_day', sa.BigInteger(), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_api_keys'))
    )
    with op.batch_alter_table('api_keys', schema=None) as batch_op:
        batch_op.create_index('ix_api_keys_tenant', ['tenant'], unique=False)

    op.create_table('replies',
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('fingerprint', sa.String(length=255), nullable=False),
    sa.Column('status', sa.Integer(), nullable=True),
    sa.Column('body', sa.Text(), nullable=True),
    sa.Column('begun_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('tenant', 'key', name=op.f('pk_replies'))
    )
    with op.batch_alter_table('replies', schema=None) as batch_op:
        batch_op.create_index('ix_replies_begun_at', ['begun_at'], unique=False)

    op.create_table('jobs',
    sa.Column('id', sa.Uuid(), nullable=False),
    sa.Column('tenant', sa.String(length=127), nullable=False),
    sa.Column('collection', sa.String(length=95), nullable=False),
    sa.Column('digest', sa.String(length=64), nullable=False),
    sa.Column('lines', sa.Integer(), nullable=False),
    sa.Column('fetches', sa.Boolean(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('token', sa.String(length=32), nullable=True),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.ForeignKeyConstraint(['collection'], ['collections.name'], name=op.f('fk_jobs_collection')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_jobs'))
    )
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.create_index('ix_jobs_digest', ['digest'], unique=False)
        batch_op.create_index('ix_jobs_finished_at_created_at', ['finished_at', 'created_at'], unique=False)
        batch_op.create_index('ix_jobs_tenant_collection_created_at', ['tenant', 'collection', 'created_at'], unique=False)

    op.create_table('job_assets',
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('asset_id', sa.Uuid(), nullable=False),
    sa.ForeignKeyConstraint(['asset_id'], ['assets.id'], name=op.f('fk_job_assets_asset_id'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_assets_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'asset_id', name=op.f('pk_job_assets'))
    )
    with op.batch_alter_table('job_assets', schema=None) as batch_op:
        batch_op.create_index('ix_job_assets_asset_id', ['asset_id'], unique=False)

    op.create_table('job_refusals',
    sa.Column('job_id', sa.Uuid(), nullable=False),
    sa.Column('line', sa.Integer(), autoincrement=False, nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('kind', sa.String(length=63), nullable=False),
    sa.Column('message', sa.Text(), nullable=False),
    sa.ForeignKeyConstraint(['job_id'], ['jobs.id'], name=op.f('fk_job_refusals_job_id'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('job_id', 'line', name=op.f('pk_job_refusals'))
    )


def downgrade() -> None:
    op.drop_table('job_refusals')
    with op.batch_alter_table('job_assets', schema=None) as batch_op:
        batch_op.drop_index('ix_job_assets_asset_id')

    op.drop_table('job_assets')
    with op.batch_alter_table('jobs', schema=None) as batch_op:
        batch_op.drop_index('ix_jobs_tenant_collection_created_at')
        batch_op.drop_index('ix_jobs_finished_at_created_at')
        batch_op.drop_index('ix_jobs_digest')

    op.drop_table('jobs')
    with op.batch_alter_table('replies', schema=None) as batch_op:
        batch_op.drop_index('ix_replies_begun_at')

    op.drop_table('replies')
    with op.batch_alter_table('api_keys', schema=None) as batch_op:
        batch_op.drop_index('ix_api_keys_tenant')

    op.drop_table('api_keys')
    for table, column in reversed(NAMES):
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.alter_column(column, existing_type=sa.String(length=95), type_=sa.String(length=63), existing_nullable=False)
