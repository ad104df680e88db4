"""Where secrets come from: files, AWS Secrets Manager or Vault, behind one interface. Imports no Django.

A source is read at the start, then again when what was read is older than SECRETS_TTL_SECONDS and when FeexPay refuses
the key. So secrets are rotated without a restart, in each process by itself. They are kept in memory only.
"""
